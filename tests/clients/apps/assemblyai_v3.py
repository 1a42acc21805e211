"""AssemblyAI v3 (Universal-Streaming) with the Python SDK. OPTIONS are the connection's parameters, but for a few."""

import threading

import assemblyai
from assemblyai.streaming.v3 import (
    BeginEvent,
    StreamingClient,
    StreamingClientOptions,
    StreamingError,
    StreamingEvents,
    StreamingParameters,
    StreamingSessionParameters,
    TerminationEvent,
    TurnEvent,
    WarningEvent,
)
from lines import API_KEY, BASE_URL, OPTIONS, paced, say

force_after = OPTIONS.pop("force_after", None)
params_after = OPTIONS.pop("params_after", None)
new_params = OPTIONS.pop("new_params", {})
leave = OPTIONS.pop("leave", False)
use_token = OPTIONS.pop("use_token", False)
stopped = threading.Event()


def on_begin(client: StreamingClient, event: BeginEvent) -> None:
    say("begin", id=event.id, expires_at=event.expires_at)


def on_turn(client: StreamingClient, event: TurnEvent) -> None:
    say(
        "turn",
        text=event.transcript,
        order=event.turn_order,
        end=event.end_of_turn,
        formatted=event.turn_is_formatted,
        confidence=event.end_of_turn_confidence,
        words=[(word.text, word.start, word.end, word.confidence, word.word_is_final) for word in event.words],
    )


def on_terminated(client: StreamingClient, event: TerminationEvent) -> None:
    say("termination", audio=event.audio_duration_seconds, session=event.session_duration_seconds)


def on_warning(client: StreamingClient, event: WarningEvent) -> None:
    say("warning", text=event.warning)


def on_error(client: StreamingClient, error: StreamingError) -> None:
    stopped.set()
    say("error", text=str(error), code=error.code)


if use_token:
    hosts = StreamingClientOptions(api_key=API_KEY, api_host=BASE_URL.partition("://")[2])
    token = StreamingClient(hosts).create_temporary_token(expires_in_seconds=60, max_session_duration_seconds=600)
    say("token", text=token)
    settings = StreamingClientOptions(token=token, api_host=BASE_URL)
else:
    settings = StreamingClientOptions(api_key=API_KEY, api_host=BASE_URL)
client = StreamingClient(settings)
client.on(StreamingEvents.Begin, on_begin)
client.on(StreamingEvents.Turn, on_turn)
client.on(StreamingEvents.Termination, on_terminated)
client.on(StreamingEvents.Warning, on_warning)
client.on(StreamingEvents.Error, on_error)
client.connect(StreamingParameters(**{"sample_rate": 16_000, **OPTIONS}))
for number, piece in enumerate(paced()):
    if stopped.is_set():
        break
    if number == params_after:
        client.set_params(StreamingSessionParameters(**new_params))
    if number == force_after:
        client.force_endpoint()
    client.stream(piece)
if not stopped.is_set():
    client.disconnect(terminate=not leave)
say("closed", version=assemblyai.__version__)
