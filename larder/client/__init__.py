"""A client of the lookup endpoint that answers within its deadline, whatever becomes of the endpoint. Needs httpx."""

from larder.client.answers import Answer, BadQuestionError, Item, Question
from larder.client.clients import AsyncLookupClient, LookupClient

__all__ = ["Answer", "AsyncLookupClient", "BadQuestionError", "Item", "LookupClient", "Question"]
