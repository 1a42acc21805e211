// AssemblyAI v2 with the Node SDK, as its quick start has it. OPTIONS go to the transcriber; with `token`, one is asked for.
import { AssemblyAI } from "assemblyai";
import { API_KEY, BASE_URL, OPTIONS, paced, say } from "./lines.mjs";

const { useToken, forceAfter, thresholdAfter, idleS = 0, ...options } = OPTIONS;
const client = new AssemblyAI({ apiKey: API_KEY, baseUrl: BASE_URL });
const realtimeUrl = `${BASE_URL.replace("http", "ws")}/v2/realtime/ws`;
if (useToken) {
  options.token = await client.realtime.createTemporaryToken({ expires_in: 60 });
  say("token", { text: options.token });
}
const transcriber = client.realtime.transcriber({ sampleRate: 16_000, realtimeUrl, ...options });
transcriber.on("open", ({ sessionId, expiresAt }) => say("open", { session_id: sessionId, expires_at: expiresAt }));
transcriber.on("transcript.partial", ({ text }) => text && say("partial", { text }));
transcriber.on("transcript.final", (transcript) => transcript.text && say("final", { text: transcript.text, words: transcript.words }));
transcriber.on("session_information", (info) => say("information", { seconds: info.audio_duration_seconds }));
transcriber.on("error", (error) => say("error", { text: error.message, code: error.code }));
transcriber.on("close", (code, reason) => say("close", { code, text: reason }));
try {
  await transcriber.connect();
} catch (error) {
  say("refused", { text: String(error.message ?? error), code: error.code });
  process.exit();
}
let number = 0;
for await (const piece of paced()) {
  if (number === thresholdAfter) transcriber.configureEndUtteranceSilenceThreshold(300);
  if (number === forceAfter) transcriber.forceEndUtterance();
  number += 1;
  try {
    transcriber.sendAudio(piece);
  } catch (error) {
    say("unsent", { text: error.message });
    process.exit();
  }
}
await new Promise((resolve) => setTimeout(resolve, idleS * 1000));
await transcriber.close();
say("closed");
