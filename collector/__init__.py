"""The HTTP door: pixels, redirects and batches in, acknowledged Kafka records out.

``app.create_app`` is the ASGI application, ``server.run`` the process around it.
"""
