"""Request and response bodies of the API, as they appear in the OpenAPI document.

The class names are the schema names, and generated clients use them as type names.
"""
