"""One function a request of the HTTP API. Each returns a `Call`; nothing here does IO."""
