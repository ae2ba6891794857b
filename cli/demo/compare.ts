/** Whether two runs ended with the same state, to the last bit. Pure. */
import type { StateHashes } from "../../runtime/trainer/index.ts";

export const PARTS = ["params", "optimizer", "rng"] as const;

export interface Comparison {
  bitExact: boolean;
  /** For people: a line for each part. */
  lines: string[];
}

export function compareStates(interrupted: StateHashes, uninterrupted: StateHashes): Comparison {
  const isSame = (part: (typeof PARTS)[number]) =>
    interrupted[part] === uninterrupted[part] && interrupted[part] !== "";
  return {
    bitExact: PARTS.every(isSame),
    lines: PARTS.map((part) =>
      isSame(part)
        ? `${part.padEnd(9)} ${short(interrupted[part])} = ${short(uninterrupted[part])}`
        : `${part.padEnd(9)} ${short(interrupted[part])} is not ${short(uninterrupted[part])}`,
    ),
  };
}

const short = (hash: string) => `${hash.slice(0, 16)}…`;
