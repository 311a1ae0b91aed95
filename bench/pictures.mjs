// All sizes of a picture by sharp, on one thread: `pictures.mjs MODULES FILE ROUNDS WAY`. Prints the best time in seconds, the most memory
// of the process in kB, and the sizes of the files.
import fs from "node:fs";
import { createRequire } from "node:module";

const [, , modules, file, rounds, way] = process.argv;
const sharp = createRequire(`${modules}/`)("sharp");
sharp.concurrency(1);
sharp.cache(false);

const SIDES = [null, 1200, 600, 150];
const jpeg = (picture) => picture.jpeg({ quality: 82, chromaSubsampling: "4:2:0" });
const webp = (picture) => picture.webp({ quality: 80, effort: 4 });
const fit = (picture, side) => (side ? picture.resize(side, side, { fit: "inside", withoutEnlargement: true }) : picture);
const input = fs.readFileSync(file);

// As its documentation shows it: each file is made of the JPEG, which is decoded smaller where that is enough.
async function each() {
  const files = [];
  for (const side of SIDES) {
    for (const encode of [jpeg, webp]) files.push(await encode(fit(sharp(input).autoOrient(), side)).toBuffer());
  }
  return files;
}

// Decoded once, and each size made of the one before.
async function once() {
  const files = [];
  const decoded = (picture) => picture.raw().toBuffer({ resolveWithObject: true });
  const again = ({ data, info: { width, height, channels } }) => sharp(data, { raw: { width, height, channels } });
  let pixels = await decoded(sharp(input).autoOrient());
  for (const side of SIDES) {
    if (side) pixels = await decoded(fit(again(pixels), side));
    for (const encode of [jpeg, webp]) files.push(await encode(again(pixels)).toBuffer());
  }
  return files;
}

let best = Infinity;
let files;
for (let round = 0; round < Number(rounds); round++) {
  const began = process.hrtime.bigint();
  files = await (way === "once" ? once() : each());
  best = Math.min(best, Number(process.hrtime.bigint() - began) / 1e9);
}
const peak = fs.readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s*(\d+)/)[1];
console.log(best.toFixed(4), peak, files.map((bytes) => bytes.length).join(" "));
