// Cartesia with the Node SDK 4, manual and auto finalize. OPTIONS: `commonjs` loads it the older way, which also changes the WebSocket.
import { createRequire } from "node:module";
import { API_KEY, BASE_URL, OPTIONS, paced, say } from "./lines.mjs";

const { commonjs, auto, useToken, finalizeAfter, ...settings } = OPTIONS;
const { default: Cartesia } = commonjs ? createRequire(import.meta.url)("@cartesia/cartesia-js") : await import("@cartesia/cartesia-js");
let client = new Cartesia({ apiKey: API_KEY, baseURL: BASE_URL });
if (useToken) {
  const { token } = await client.accessToken.create({ grants: { stt: true }, expires_in: 60 });
  say("token", { text: token });
  client = new Cartesia({ token, baseURL: BASE_URL });
}
const mode = auto ? client.stt.autoFinalize : client.stt.manualFinalize;
const connection = mode.websocket({ model: auto ? "ink-2" : "ink-whisper", encoding: "pcm_s16le", sample_rate: 16_000, ...settings });
let over = false;
const finished = new Promise((resolve) => {
  connection.on("event", (event) => {
    if (event.type === "transcript") say(event.is_final ? "final" : "partial", event);
    else say(event.type, { ...event, text: event.transcript ?? event.message ?? "" });
  });
  connection.on("error", (error) => say("trouble", { text: error.message }));
  connection.on("close", (code, reason) => {
    over = true;
    say("close", { code, text: String(reason) });
    resolve();
  });
});
let number = 0;
for await (const piece of paced()) {
  if (over) break;
  if (number++ === finalizeAfter) connection.send("finalize");
  connection.sendRaw(piece);
}
if (!over && !auto) connection.send("finalize");
if (!over) connection.send(auto ? { type: "close" } : "close");
await finished;
