// What every application here shares: its settings, the audio in pieces, and saying what it received as JSON lines.
import fs from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

export const { BASE_URL, API_KEY } = process.env;
export const OPTIONS = JSON.parse(process.env.OPTIONS);

export function say(event, values = {}) {
  fs.writeSync(1, JSON.stringify({ ...values, event }) + "\n");
}

export async function* paced() {
  const file = fs.readFileSync(process.env.AUDIO);
  const data = file.subarray(0, 4).toString() === "RIFF" ? file.subarray(file.indexOf("data") + 8) : file;
  const [size, seconds] = [Number(process.env.CHUNK), Number(process.env.CHUNK_S)];
  const began = performance.now();
  for (let start = 0; start < data.length; start += size) {
    await wait(Math.max(0, began + (start / size + 1) * seconds * 1000 - performance.now()));
    yield data.subarray(start, start + size);
  }
}
