/**
 * Random numbers that a resumed run draws again: named streams of the counter-based generator Threefry-2x32, the one
 * JAX uses. A stream's n-th number follows from (seed, name, n), so its state is a count, and streams do not disturb
 * each other.
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
import type { Tensors } from "../checkpoint/index.ts";
import type { Rng } from "./types.ts";

export interface RngStreams {
  /** The stream of that name, from its present state on. */
  stream(name: string): Rng;
  /** The state of every stream asked for so far, by name: U32 [key 0, key 1, count low, count high]. */
  state(): Tensors;
  /** Puts streams back to what `state` gave. */
  restore(state: Tensors): void;
}

/** Words of the key, then how many words were drawn. */
interface Stream {
  key: readonly [number, number];
  drawn: number;
}

const TWO_32 = 2 ** 32;

export function rngStreams(seed: number): RngStreams {
  const streams = new Map<string, Stream>();

  function open(name: string): Stream {
    const stream = streams.get(name) ?? { key: keyOf(seed, name), drawn: 0 };
    streams.set(name, stream);
    return stream;
  }

  return {
    stream: (name) => numbersOf(open(name)),
    state: () =>
      Object.fromEntries(
        [...streams].map(([name, { key, drawn }]) => {
          const data = Uint32Array.of(key[0], key[1], drawn % TWO_32, Math.floor(drawn / TWO_32));
          return [name, { dtype: "U32", shape: [4], data }];
        }),
      ),
    restore(state) {
      for (const [name, { data }] of Object.entries(state)) {
        const [key0 = 0, key1 = 0, low = 0, high = 0] = Array.from(data, Number);
        Object.assign(open(name), { key: [key0, key1], drawn: high * TWO_32 + low });
      }
    },
  };
}

/** The numbers of one stream from its beginning, for what is drawn anew each time. */
export function rngOf(seed: number, name: string): Rng {
  return numbersOf({ key: keyOf(seed, name), drawn: 0 });
}

function numbersOf(stream: Stream): Rng {
  let block: [number, number] = [0, 0];
  let blockAt = -1;

  function uint32(): number {
    const at = Math.floor(stream.drawn / 2);
    if (at !== blockAt) {
      block = threefry2x32(stream.key, [at >>> 0, Math.floor(at / TWO_32)]);
      blockAt = at;
    }
    return block[stream.drawn++ % 2] as number;
  }
  const uniform = () => uint32() / TWO_32;

  return {
    uint32,
    uniform,
    // Box-Muller; its second result is dropped, so that a stream's state stays a count.
    normal: () => Math.sqrt(-2 * Math.log((uint32() + 1) / TWO_32)) * Math.cos(2 * Math.PI * uniform()),
    below: (limit) => Math.floor(uniform() * limit),
  };
}

/** Key of a named stream: the seed's low word, and a hash of the name and the rest of the seed (FNV-1a). */
function keyOf(seed: number, name: string): [number, number] {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(`${Math.floor(seed / TWO_32)}/${name}`)) hash = Math.imul(hash ^ byte, 0x01000193);
  return [seed >>> 0, hash >>> 0];
}

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** Twenty rounds: two words of key and two of counter give two random ones. */
export function threefry2x32(
  [key0, key1]: readonly [number, number],
  [low, high]: readonly [number, number],
): [number, number] {
  const keys = [key0, key1, 0x1bd11bda ^ key0 ^ key1] as const;
  let x = (low + key0) | 0;
  let y = (high + key1) | 0;
  for (let round = 0; round < 20; round++) {
    const bits = ROTATIONS[round % 8] as number;
    x = (x + y) | 0;
    y = ((y << bits) | (y >>> (32 - bits))) ^ x;
    if (round % 4 !== 3) continue;
    const injection = (round + 1) / 4;
    x = (x + (keys[injection % 3] as number)) | 0;
    y = (y + (keys[(injection + 1) % 3] as number) + injection) | 0;
  }
  return [x >>> 0, y >>> 0];
}
