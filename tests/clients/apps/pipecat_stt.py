"""Pipecat: a service in a pipeline, fed as a transport would. The argument is the service; OPTIONS go to it."""

import asyncio
import os
import sys
import time

from lines import API_KEY, BASE_URL, CHUNK_S, OPTIONS, audio, say
from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.stt_service import STTService
from pipecat.workers.runner import WorkerRunner

RATE = 16_000
FRAME = RATE // 50  # 20 ms, as transports give
linger_s = OPTIONS.pop("linger_s", 2)
voice_s = OPTIONS.pop("voice_s", None)


def service(name: str) -> STTService:
    host = BASE_URL.partition("://")[2]
    if name == "assemblyai":
        from pipecat.services.assemblyai.stt import AssemblyAISTTService

        return AssemblyAISTTService(api_key=API_KEY, api_endpoint_base_url=f"{BASE_URL}/v3/ws", **OPTIONS)
    if name == "cartesia":
        from pipecat.services.cartesia.stt import CartesiaSTTService

        return CartesiaSTTService(api_key=API_KEY, base_url=BASE_URL, **OPTIONS)
    if name == "cartesia-turns":
        from pipecat.services.cartesia.turns.stt import CartesiaTurnsSTTService

        return CartesiaTurnsSTTService(api_key=API_KEY, url=f"{BASE_URL}/stt/turns/websocket", **OPTIONS)
    if name == "elevenlabs":
        from pipecat.services.elevenlabs.stt import CommitStrategy, ElevenLabsRealtimeSTTService

        strategy = CommitStrategy(OPTIONS.pop("commit_strategy", "manual"))
        return ElevenLabsRealtimeSTTService(api_key=API_KEY, base_url=host, commit_strategy=strategy, **OPTIONS)
    import pipecat_gnani.stt

    pipecat_gnani.stt.GNANI_STT_WS_URL = f"{BASE_URL}/stt/v3/stream"  # it has no option for it
    return pipecat_gnani.stt.GnaniSTTService(api_key=API_KEY, **OPTIONS)


class Told(FrameProcessor):
    """The rest of the pipeline, or what is before it."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            say("final", text=frame.text)
        elif isinstance(frame, InterimTranscriptionFrame):
            say("partial", text=frame.text)
        elif isinstance(frame, ErrorFrame):
            say("error", text=str(frame.error))
        await self.push_frame(frame, direction)


async def main() -> None:
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    pipeline = Pipeline([Told(), service(sys.argv[1]), Told()])
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=RATE),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
    )
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def on_started(worker: PipelineWorker, frame: Frame) -> None:
        started.set()

    async def speak() -> None:
        await started.wait()
        data = audio()
        speaking = False
        began = time.monotonic()
        for number, start in enumerate(range(0, len(data), 2 * FRAME), 1):
            await asyncio.sleep(max(0.0, began + number * CHUNK_S / 5 - time.monotonic()))
            if voice_s is not None:
                now = start / 2 / RATE
                within = any(begin <= now < end for begin, end in voice_s)
                if within != speaking:
                    speaking = within
                    await worker.queue_frame(VADUserStartedSpeakingFrame() if within else VADUserStoppedSpeakingFrame())
            await worker.queue_frame(InputAudioRawFrame(data[start : start + 2 * FRAME], RATE, 1))
        await asyncio.sleep(linger_s)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), speak())
    say("closed")
    sys.stdout.flush()
    os._exit(0)


asyncio.run(main())
