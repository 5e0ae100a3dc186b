"""`GET /openapi.json`: the API described from its own route table.

Paths, methods and words come from the routes and their handlers, bodies from the models that check them; `things` says
what answers look like, `operations` which route gives which, `document` puts it together.
"""
