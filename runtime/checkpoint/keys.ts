/** Keys of checkpoints in the store, relative to the run's prefix. */
import { CHECKPOINTS_PREFIX } from "../lease/index.ts";
import { SUMS } from "./manifest.ts";

export const keyOf = (id: string, path: string) => `${CHECKPOINTS_PREFIX}${id}/${path}`;
export const sumsKey = (id: string) => keyOf(id, SUMS);

/** The checkpoint that a key belongs to, and the file in it. */
export function partsOfKey(key: string): { id: string; path: string } | undefined {
  const match = /^checkpoints\/([^/]+)\/(.+)$/.exec(key);
  return match ? { id: match[1] as string, path: match[2] as string } : undefined;
}
