"""Small pieces between a shared cache's user and its store, each a `CacheStore` over another one.

    GuardedCache           gives up in time, and leaves a store alone that failed again and again
      CoalescingCache      what is asked at the same time goes in one pipeline, and each question once; lifetimes
                           do not end all at once
        a `BatchStore` of `ossa.stores`

A `Front` keeps what a process uses, decoded; `Absences` remembers for a moment what was not there; `Flights` does a
piece of work once for all who want it.
"""
