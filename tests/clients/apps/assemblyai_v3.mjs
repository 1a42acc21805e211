// AssemblyAI v3 (Universal-Streaming) with the Node SDK, as its quick start has it. OPTIONS go to the transcriber.
import { AssemblyAI } from "assemblyai";
import { API_KEY, BASE_URL, OPTIONS, paced, say } from "./lines.mjs";

const { useToken, forceAfter, paramsAfter, newParams, ...options } = OPTIONS;
const client = new AssemblyAI({ apiKey: API_KEY, streamingBaseUrl: BASE_URL });
const websocketBaseUrl = `${BASE_URL.replace("http", "ws")}/v3/ws`;
if (useToken) {
  options.token = await client.streaming.createTemporaryToken({ expires_in_seconds: 60 });
  say("token", { text: options.token });
}
const transcriber = client.streaming.transcriber({ sampleRate: 16_000, websocketBaseUrl, ...options });
transcriber.on("open", ({ id, expires_at }) => say("begin", { id, expires_at }));
transcriber.on("turn", (turn) =>
  say("turn", {
    text: turn.transcript,
    order: turn.turn_order,
    end: turn.end_of_turn,
    formatted: turn.turn_is_formatted,
    words: turn.words,
  }),
);
transcriber.on("warning", ({ warning }) => say("warning", { text: warning }));
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
  if (number === paramsAfter) transcriber.updateConfiguration(newParams);
  if (number === forceAfter) transcriber.forceEndpoint();
  number += 1;
  try {
    transcriber.sendAudio(piece);
  } catch (error) {
    say("unsent", { text: error.message });
    process.exit();
  }
}
await transcriber.close();
say("closed");
