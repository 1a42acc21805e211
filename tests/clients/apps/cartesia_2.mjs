// Cartesia with the Node SDK 2, as its README has it.
import { CartesiaClient } from "@cartesia/cartesia-js";
import { API_KEY, BASE_URL, OPTIONS, paced, say } from "./lines.mjs";

const client = new CartesiaClient({ apiKey: API_KEY, environment: BASE_URL });
const socket = client.stt.websocket({ model: "ink-whisper", language: "en", encoding: "pcm_s16le", sampleRate: 16_000, ...OPTIONS });

const transcript = new Promise((resolve) => {
  let text = "";
  socket
    .onMessage((result) => {
      if (result.type === "transcript") {
        say(result.isFinal ? "final" : "partial", result);
        if (result.isFinal) text += `${result.text} `;
      } else {
        say(result.type, { text: result.message });
        if (result.type === "flush_done") socket.done();
        if (result.type === "done" || result.type === "error") resolve(text.trim());
      }
    })
    .catch((error) => {
      say("refused", { text: error.message });
      process.exit();
    });
});
for await (const piece of paced()) await socket.send(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.byteLength));
await socket.finalize();
say("transcript", { text: await transcript });
socket.disconnect();
say("closed");
process.exit();
