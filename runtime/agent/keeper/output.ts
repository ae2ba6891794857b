/** The end of the command's output, in the store: what people look for first when the machine is gone. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { epochMark } from "../../../common/checkpoint-id.ts";
import type { ObjectStore } from "../../store/types.ts";

const TAIL_BYTES = 1 << 20;

/** Key of the output of one tenure of the run. */
export function outputKey(epoch: number): string {
  return `logs/output.${epochMark(epoch)}.log`;
}

/** Nothing where there is no output yet. @throws UserError VL_STORE_* */
export async function saveOutput(store: ObjectStore, epoch: number, path: string): Promise<void> {
  const text = tailOf(path);
  if (text?.length) await store.put(outputKey(epoch), text);
}

function tailOf(path: string): Buffer | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes;
  } finally {
    closeSync(file);
  }
}
