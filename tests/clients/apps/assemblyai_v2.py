"""AssemblyAI v2 with the Python SDK, as its quick start has it. OPTIONS are the transcriber's, but for a few."""

import time

import assemblyai as aai
from lines import API_KEY, BASE_URL, OPTIONS, paced, say

force_after = OPTIONS.pop("force_after", None)
threshold_after = OPTIONS.pop("threshold_after", None)
extra = OPTIONS.pop("extra_session_information", False)
use_token = OPTIONS.pop("use_token", False)
idle_s = OPTIONS.pop("idle_s", 0)
if "encoding" in OPTIONS:
    OPTIONS["encoding"] = aai.AudioEncoding(OPTIONS["encoding"])
stopped = False


def on_open(session: aai.RealtimeSessionOpened) -> None:
    say("open", session_id=session.session_id, expires_at=session.expires_at)


def on_data(transcript: aai.RealtimeTranscript) -> None:
    if not transcript.text:
        return
    final = isinstance(transcript, aai.RealtimeFinalTranscript)
    words = [(word.text, word.start, word.end, word.confidence) for word in transcript.words]
    say(
        "final" if final else "partial",
        text=transcript.text,
        start=transcript.audio_start,
        end=transcript.audio_end,
        confidence=transcript.confidence,
        words=words,
    )


def on_error(error: aai.RealtimeError) -> None:
    global stopped
    stopped = True
    say("error", text=error.args[0], code=error.args[1] if len(error.args) > 1 else None)


def on_information(information: aai.RealtimeSessionInformation) -> None:
    say("information", seconds=information.audio_duration_seconds)


aai.settings.api_key = API_KEY
if use_token:
    aai.settings.base_url = BASE_URL.replace("ws://", "http://")  # a token is asked for over HTTP
    OPTIONS["token"] = aai.RealtimeTranscriber.create_temporary_token(expires_in=60)
    say("token", text=OPTIONS["token"])
aai.settings.base_url = BASE_URL
transcriber = aai.RealtimeTranscriber(
    on_open=on_open,
    on_data=on_data,
    on_error=on_error,
    on_close=lambda: say("close"),
    on_extra_session_information=on_information if extra else None,
    **{"sample_rate": 16_000, **OPTIONS},
)
transcriber.connect()
for number, piece in enumerate(paced()):
    if number == threshold_after:
        transcriber.configure_end_utterance_silence_threshold(300)
    if number == force_after:
        transcriber.force_end_utterance()
    if stopped:
        break
    transcriber.stream(piece)
time.sleep(idle_s)
transcriber.close()
