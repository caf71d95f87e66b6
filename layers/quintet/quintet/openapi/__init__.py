"""The OpenAPI 3.1 document of the API, made from contracts: see `quintet.openapi.document`.

Nothing that scores imports it.
"""
