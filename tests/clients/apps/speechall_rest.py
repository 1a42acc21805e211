"""Speechall's REST API with the Python SDK: one file, one transcript. OPTIONS are those of ``transcribe``."""

import os

from lines import API_KEY, BASE_URL, OPTIONS, say
from speechall import SpeechallApi
from speechall.core.api_error import ApiError

client = SpeechallApi(base_url=f"{BASE_URL}/v1", token=API_KEY)
with open(os.environ["AUDIO"], "rb") as file:
    recording = file.read()
try:
    result = client.speech_to_text.transcribe(request=recording, **{"model": "deepgram.nova-2", **OPTIONS})
    say("transcript", **result.dict())
except ApiError as error:  # also for answers that are not JSON: the SDK expects JSON whatever was asked for
    text = error.body if isinstance(error.body, str) else error.body.json()
    say("answer", status=error.status_code, kind=type(error).__name__, text=text)
