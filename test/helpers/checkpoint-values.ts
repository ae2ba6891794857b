/** What a step's checkpoint must contain: every fifth is large enough to be uploaded in parts. */
import type { Tensors } from "../../runtime/checkpoint/index.ts";

const LARGE = (17 << 20) / 4;

export function tensorsOf(step: number): Tensors {
  const data = new Float32Array(step % 5 === 0 ? LARGE : 1000);
  for (let i = 0; i < data.length; i += 997) data[i] = step + i;
  return { w: { dtype: "F32", shape: [data.length], data } };
}
