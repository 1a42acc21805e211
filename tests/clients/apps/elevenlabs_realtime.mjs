// ElevenLabs Scribe realtime with the Node SDK, as its guide has it. OPTIONS are those of `realtime.connect`.
import { setTimeout as wait } from "node:timers/promises";
import { ElevenLabsClient, RealtimeEvents } from "@elevenlabs/elevenlabs-js";
import { API_KEY, BASE_URL, OPTIONS, paced, say } from "./lines.mjs";

const { useToken, commitAfter = [], linger = 0, ...options } = OPTIONS;
const client = new ElevenLabsClient({ baseUrl: BASE_URL, apiKey: API_KEY });
if (useToken) {
  options.token = (await client.tokens.singleUse.create("realtime_scribe")).token;
  say("token", { text: options.token });
}
if (!options.url) Object.assign(options, { audioFormat: "pcm_16000", sampleRate: 16_000, ...options });
const connection = await client.speechToText.realtime.connect({ modelId: "scribe_v2_realtime", ...options });
let commits = 0;
let over = false;
let started;
const ready = new Promise((resolve) => (started = resolve));
connection.on(RealtimeEvents.SESSION_STARTED, (data) => {
  say("started", data);
  started();
});
connection.on(RealtimeEvents.PARTIAL_TRANSCRIPT, (data) => say("partial", data));
connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT, (data) => {
  commits += 1;
  say("committed", data);
});
connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT_WITH_TIMESTAMPS, (data) => say("timed", data));
connection.on(RealtimeEvents.ERROR, (error) => say("error", { text: error.message, ...error }));
connection.on(RealtimeEvents.CLOSE, () => {
  over = true;
  started();
  say("close");
});
await ready;
while (options.url && !over) await wait(20); // the SDK sends, commits and closes by itself
let number = 0;
for await (const piece of options.url ? [] : paced()) {
  if (over) break;
  try {
    if (commitAfter.includes(number++)) connection.commit();
    connection.send({ audioBase64: piece.toString("base64") });
  } catch {
    break; // the connection is closing
  }
}
if (options.commitStrategy !== "vad" && !over) {
  try {
    connection.commit();
  } catch {
    over = true;
  }
  while (commits <= commitAfter.length && !over) await wait(20);
}
for (let waited = 0; waited < linger * 50 && !over; waited += 1) await wait(20);
connection.close();
say("closed");
process.exit();
