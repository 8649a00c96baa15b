"""The server: what mmsdk does, for a team, over HTTP, MCP and in a browser.

``mmsdk.server.app.create`` makes an ASGI application of a data folder; ``mmsdk serve`` runs it. A request
passes the defence (host, key, limits, admission) before its body is read, and only then reaches a route.
"""
