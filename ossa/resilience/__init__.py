"""What every client of something that may fail needs: breakers, waits between tries, and server-sent events.

It stands below all other packages, needs the standard library alone, and is cheap to import.
"""
