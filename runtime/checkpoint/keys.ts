/** Keys of checkpoints in the store, relative to the run's prefix. */
import { MANIFEST, SUMS } from "./manifest.ts";

export const CHECKPOINTS = "checkpoints/";

export const keyOf = (id: string, path: string) => `${CHECKPOINTS}${id}/${path}`;
export const manifestKey = (id: string) => keyOf(id, MANIFEST);
export const sumsKey = (id: string) => keyOf(id, SUMS);

/** The checkpoint that a key belongs to, and the file in it. */
export function partsOfKey(key: string): { id: string; path: string } | undefined {
  const match = /^checkpoints\/([^/]+)\/(.+)$/.exec(key);
  return match ? { id: match[1] as string, path: match[2] as string } : undefined;
}
