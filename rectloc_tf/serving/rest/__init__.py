"""`serve`: TensorFlow Serving's REST API and the page, over the networks of runs.

    protocol   paths, statuses and the words of errors      values    JSON to arrays and back
    pictures   what a request may ask of a network          batching  requests to batches
    networks   a run as something that answers              scenes    random scenes for the page
    app        requests to responses                        server    sockets, time-outs, the end

Only `networks` and `scenes` need TensorFlow, only `server` needs uvicorn.
"""
