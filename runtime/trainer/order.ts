/**
 * In which order examples are seen: every epoch in an order of its own, drawn from the seed and the epoch's number.
 * A position, the number of examples seen so far, says all; nothing else has to be kept to go on from there.
 */
import { rngOf } from "./rng.ts";

/** Gives `size` examples from `position` on. A batch may end one epoch and begin the next: none is left out. */
export type Order = (position: number, size: number) => Uint32Array;

export function epochOrder(count: number, seed: number): Order {
  let shuffled: { epoch: number; examples: Uint32Array } | undefined;

  function examplesOf(epoch: number): Uint32Array {
    if (shuffled?.epoch !== epoch) shuffled = { epoch, examples: shuffle(count, seed, epoch) };
    return shuffled.examples;
  }
  return (position, size) =>
    Uint32Array.from({ length: size }, (_, index) => {
      const at = position + index;
      return examplesOf(Math.floor(at / count))[at % count] as number;
    });
}

/** Fisher-Yates. */
function shuffle(count: number, seed: number, epoch: number): Uint32Array {
  const rng = rngOf(seed, `order/${epoch}`);
  const examples = new Uint32Array(count).map((_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = rng.below(last + 1);
    const moved = examples[last] as number;
    examples[last] = examples[other] as number;
    examples[other] = moved;
  }
  return examples;
}
