"""A client of the lookup endpoint that always answers within its deadline, if need be from a fallback. Needs httpx."""

from larder.client.answers import Answer, BadQuestionError, Item, Question
from larder.client.clients import AsyncLookupClient, LookupClient

__all__ = ["Answer", "AsyncLookupClient", "BadQuestionError", "Item", "LookupClient", "Question"]
