"""HTTP in: authenticate, admit, the OpenAI API, /api/v1, errors; and the dispatcher that owns accepted tasks."""
