// QR codes (ISO/IEC 18004): text in bytes, error correction M, versions 1 to 10, drawn as SVG.

import { svg } from "./dom.js";

// Of each version: how many codewords, how many of error correction a block, how many blocks (level M).
const SIZES = [null, [26, 10, 1], [44, 16, 1], [70, 26, 1], [100, 18, 2], [134, 24, 2], [172, 16, 4], [196, 18, 4], [242, 22, 4], [292, 22, 5], [346, 26, 5]];
const CENTRES = [null, [], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]];
const QUIET = 4;

const exponents = new Uint8Array(512);
const logarithms = new Uint8Array(256);
for (let power = 0, value = 1; power < 255; power += 1) {
  exponents[power] = exponents[power + 255] = value;
  logarithms[value] = power;
  value = (value << 1) ^ (value & 0x80 ? 0x11d : 0);
}
const times = (one, other) => (one && other ? exponents[logarithms[one] + logarithms[other]] : 0);

/** Return the code of a text as an element of SVG with a label. Throws RangeError beyond 213 bytes. */
export function qr(text, label) {
  const modules = matrix(text);
  const size = modules.length + 2 * QUIET;
  const path = modules.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : ""))).join("");
  return svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges", width: 220, height: 220 },
    svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d: path, fill: "#000" }));
}

/** Return the modules of a text's code: rows of booleans, true is dark. */
export function matrix(text) {
  const bytes = new TextEncoder().encode(text);
  const version = SIZES.findIndex((one, index) => one && bytes.length <= room(index));
  if (version < 0) throw new RangeError("this text is too long for a code");
  const words = interleave(dataWords(bytes, version), version);
  let best = null;
  for (let mask = 0; mask < 8; mask += 1) {
    const made = drawn(words, version, mask);
    const score = penalty(made);
    if (!best || score < best.score) best = { score, made };
  }
  return best.made;
}

const dataCount = (version) => SIZES[version][0] - SIZES[version][1] * SIZES[version][2];
const room = (version) => dataCount(version) - (version < 10 ? 2 : 3);

function dataWords(bytes, version) {
  const bits = [];
  const put = (value, length) => {
    for (let at = length - 1; at >= 0; at -= 1) bits.push((value >> at) & 1);
  };
  put(4, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  const total = dataCount(version) * 8;
  put(0, Math.min(4, total - bits.length));
  while (bits.length % 8) bits.push(0);
  const words = [];
  for (let at = 0; at < bits.length; at += 8) words.push(parseInt(bits.slice(at, at + 8).join(""), 2));
  for (let pad = 0xec; words.length < dataCount(version); pad ^= 0xec ^ 0x11) words.push(pad);
  return words;
}

function interleave(words, version) {
  const [total, correction, blocks] = SIZES[version];
  const short = Math.floor(total / blocks) - correction;
  const long = total % blocks;
  const parts = [];
  for (let block = 0, at = 0; block < blocks; block += 1) {
    const length = short + (block >= blocks - long ? 1 : 0);
    parts.push(words.slice(at, at + length));
    at += length;
  }
  const checks = parts.map((part) => remainder(part, correction));
  const out = [];
  for (let at = 0; at <= short; at += 1) for (const part of parts) if (at < part.length) out.push(part[at]);
  for (let at = 0; at < correction; at += 1) for (const check of checks) out.push(check[at]);
  return out;
}

function remainder(words, count) {
  let divisor = [1];
  for (let power = 0; power < count; power += 1) {
    const next = new Array(divisor.length + 1).fill(0);
    divisor.forEach((value, at) => {
      next[at] ^= value;
      next[at + 1] ^= times(value, exponents[power]);
    });
    divisor = next;
  }
  const rest = new Array(count).fill(0);
  for (const word of words) {
    const factor = word ^ rest.shift();
    rest.push(0);
    for (let at = 0; at < count; at += 1) rest[at] ^= times(divisor[at + 1], factor);
  }
  return rest;
}

const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

function drawn(words, version, mask) {
  const size = 17 + 4 * version;
  const cells = Array.from({ length: size }, () => new Array(size).fill(null));
  const set = (x, y, dark) => {
    if (x >= 0 && y >= 0 && x < size && y < size) cells[y][x] = dark;
  };
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    for (let dy = -4; dy <= 4; dy += 1) for (let dx = -4; dx <= 4; dx += 1) {
      const ring = Math.max(Math.abs(dx), Math.abs(dy));
      set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
    }
  }
  const centres = CENTRES[version];
  for (const cx of centres) for (const cy of centres) {
    if ((cx === 6 && cy === 6) || (cx === 6 && cy === size - 7) || (cx === size - 7 && cy === 6)) continue;
    for (let dy = -2; dy <= 2; dy += 1) for (let dx = -2; dx <= 2; dx += 1) set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
  }
  for (let at = 8; at < size - 8; at += 1) {
    set(at, 6, at % 2 === 0);
    set(6, at, at % 2 === 0);
  }
  format(set, size, mask);
  if (version >= 7) versionBits(set, size, version);
  fillIn(cells, size, words, mask);
  return cells;
}

function format(set, size, mask) {
  let rest = mask; // level M is 00
  for (let step = 0; step < 10; step += 1) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const bit = (at) => ((bits >> at) & 1) === 1;
  for (let at = 0; at <= 5; at += 1) set(8, at, bit(at));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let at = 9; at < 15; at += 1) set(14 - at, 8, bit(at));
  for (let at = 0; at < 8; at += 1) set(size - 1 - at, 8, bit(at));
  for (let at = 8; at < 15; at += 1) set(8, size - 15 + at, bit(at));
  set(8, size - 8, true);
}

function versionBits(set, size, version) {
  let rest = version;
  for (let step = 0; step < 12; step += 1) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let at = 0; at < 18; at += 1) {
    const dark = ((bits >> at) & 1) === 1;
    const far = size - 11 + (at % 3);
    const near = Math.floor(at / 3);
    set(far, near, dark);
    set(near, far, dark);
  }
}

function fillIn(cells, size, words, mask) {
  let at = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      for (const x of [right, right - 1]) {
        const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
        if (cells[y][x] !== null) continue;
        const dark = at < words.length * 8 && ((words[at >> 3] >> (7 - (at & 7))) & 1) === 1;
        cells[y][x] = dark !== MASKS[mask](x, y);
        at += 1;
      }
    }
  }
}

function penalty(cells) {
  const size = cells.length;
  let score = 0;
  const lines = [...cells, ...cells.map((_, x) => cells.map((row) => row[x]))];
  for (const line of lines) {
    const text = line.map((dark) => (dark ? "1" : "0")).join("");
    for (const run of text.match(/(.)\1{4,}/g) ?? []) score += run.length - 2;
    for (let at = 0; at + 11 <= size; at += 1) {
      const part = text.slice(at, at + 11);
      if (part === "10111010000" || part === "00001011101") score += 40;
    }
  }
  for (let y = 0; y + 1 < size; y += 1) for (let x = 0; x + 1 < size; x += 1) {
    if (cells[y][x] === cells[y][x + 1] && cells[y][x] === cells[y + 1][x] && cells[y][x] === cells[y + 1][x + 1]) score += 3;
  }
  const dark = cells.flat().filter(Boolean).length / (size * size);
  return score + Math.floor(Math.abs(dark - 0.5) * 20) * 10;
}
