"""Chats: conversations over an engine or an endpoint, and the text-to-token code that they need."""
