/** Fingerprints of a checkpoint's state, to compare two runs: the same bits give the same hash, one other bit another. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readSafetensors, TENSORS, type Tensors } from "../checkpoint/index.ts";
import { groupOf } from "./snapshot.ts";

export interface StateHashes {
  /** Hex SHA-256 of names, types, shapes and bytes. */
  params: string;
  optimizer: string;
  /** Random streams and the position in the data. */
  rng: string;
}

/** @throws UserError VL_CHECKPOINT_BAD when the file with the tensors is damaged */
export async function hashState(folder: string): Promise<StateHashes> {
  const { tensors } = await readSafetensors(join(folder, TENSORS));
  const hashOf = (group: string) => hashTensors(groupOf(tensors, group));
  return { params: hashOf("params"), optimizer: hashOf("optimizer"), rng: hashOf("rng") };
}

export function hashTensors(tensors: Tensors): string {
  const hash = createHash("sha256");
  for (const [name, { dtype, shape, data }] of Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${JSON.stringify([name, dtype, shape])}\n`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}
