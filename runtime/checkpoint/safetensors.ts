/**
 * Files in the safetensors format: 8 bytes of header length, a JSON header, then the tensors' bytes without gaps.
 * Python's `safetensors`, PyTorch and JAX read what is written here, and the other way round. The reader is strict:
 * it takes nothing that Python's refuses, and says what is wrong. Little-endian computers only, which all of ours are.
 * Source: https://github.com/huggingface/safetensors (README, "Format").
 */
import { type FileHandle, open } from "node:fs/promises";
import { messageOf, UserError } from "../../common/errors.ts";

/** Bytes of one element. */
const ELEMENT_BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;

export type Dtype = keyof typeof ELEMENT_BYTES;

/** What holds a tensor's elements. F16, BF16 are bits in a Uint16Array; BOOL and F8 bytes in a Uint8Array. */
export type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

export interface Tensor {
  dtype: Dtype;
  /** Row-major; [] is a scalar. */
  shape: readonly number[];
  data: TensorData;
}

export type Tensors = Record<string, Tensor>;

/** Python's own limit. */
const LONGEST_HEADER = 100_000_000;
/** Node writes and reads less than 2 GiB at a time. */
const MOST_AT_ONCE = 1 << 30;

/**
 * Writes and syncs a new file. Data goes to the disk from where it lies, without a copy: it must not change before
 * the promise resolves.
 */
export async function writeSafetensors(path: string, tensors: Tensors, metadata: Record<string, string> = {}) {
  const { header, order } = layOut(tensors, metadata);
  const file = await open(path, "wx");
  try {
    await writeAll(file, header);
    for (const name of order) await writeAll(file, bytesOf((tensors[name] as Tensor).data));
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Each tensor has memory of its own. @throws UserError VL_CHECKPOINT_BAD for what is no whole safetensors file */
export async function readSafetensors(path: string): Promise<{ tensors: Tensors; metadata: Record<string, string> }> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const { entries, metadata, start } = await readHeader(file, size, path);
    const tensors: Tensors = {};
    for (const { name, dtype, shape, begin, end } of entries) {
      const buffer = new ArrayBuffer(end - begin);
      await readAll(file, new Uint8Array(buffer), start + begin, path);
      define<Tensor>(tensors, name, { dtype, shape, data: viewOf(dtype, buffer) });
    }
    return { tensors, metadata };
  } finally {
    await file.close();
  }
}

interface Entry {
  name: string;
  dtype: Dtype;
  shape: number[];
  begin: number;
  end: number;
}

/** Wide elements first, so that each tensor begins at a multiple of its element size; then by name. */
function layOut(tensors: Tensors, metadata: Record<string, string>): { header: Buffer; order: string[] } {
  const order = Object.keys(tensors).sort((a, b) => widthOf(b) - widthOf(a) || (a < b ? -1 : 1));
  function widthOf(name: string): number {
    return ELEMENT_BYTES[(tensors[name] as Tensor).dtype] ?? 0;
  }
  const fields: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) define(fields, "__metadata__", metadata);
  let offset = 0;
  for (const name of order) {
    const { dtype, shape, data } = tensors[name] as Tensor;
    requireFit(name, dtype, shape, data);
    define(fields, name, { dtype, shape, data_offsets: [offset, offset + data.byteLength] });
    offset += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(fields));
  const length = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(8 + length, " ");
  header.writeBigUInt64LE(BigInt(length), 0);
  json.copy(header, 8);
  return { header, order };
}

function requireFit(name: string, dtype: Dtype, shape: readonly number[], data: TensorData): void {
  if (name === "__metadata__") throw new TypeError("a tensor cannot be called __metadata__");
  const width = ELEMENT_BYTES[dtype];
  if (width === undefined) throw new TypeError(`tensor ${name}: there is no dtype ${dtype}`);
  if (data.BYTES_PER_ELEMENT !== width) {
    throw new TypeError(`tensor ${name}: elements of ${dtype} have ${width} bytes, not ${data.BYTES_PER_ELEMENT}`);
  }
  const count = shape.reduce((product, length) => product * length, 1);
  if (!shape.every(isLength) || count !== data.length) {
    throw new TypeError(`tensor ${name}: shape [${shape}] has ${count} elements, the data ${data.length}`);
  }
}

async function readHeader(file: FileHandle, size: number, path: string) {
  if (size < 8) throw bad(path, `it has ${size} bytes, too few for a header`);
  const prefix = Buffer.alloc(8);
  await readAll(file, prefix, 0, path);
  const length = Number(prefix.readBigUInt64LE());
  if (length > LONGEST_HEADER || length > size - 8) throw bad(path, `its header claims ${length} bytes of ${size - 8}`);
  const text = Buffer.alloc(length);
  await readAll(file, text, 8, path);
  const fields = parseHeader(text, path);
  const { __metadata__: metadata, ...rest } = fields;
  const entries = Object.entries(rest).map(([name, field]) => entryOf(name, field, path));
  requireGapless(entries, size - 8 - length, path);
  return { entries, metadata: metadataOf(metadata, path), start: 8 + length };
}

function parseHeader(text: Buffer, path: string): Record<string, unknown> {
  if (text[0] !== 0x7b) throw bad(path, "its header does not begin with {");
  let fields: unknown;
  try {
    fields = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (error) {
    throw bad(path, `its header is not JSON (${messageOf(error)})`);
  }
  return fields as Record<string, unknown>;
}

function entryOf(name: string, field: unknown, path: string): Entry {
  const { dtype, shape, data_offsets: offsets } = (field ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string" || !(dtype in ELEMENT_BYTES)) throw bad(path, `tensor ${name} has the dtype ${dtype}`);
  if (!Array.isArray(shape) || !shape.every(isLength)) throw bad(path, `tensor ${name} has no valid shape`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isLength)) {
    throw bad(path, `tensor ${name} has no valid data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  const wanted = shape.reduce((product, length) => product * length, ELEMENT_BYTES[dtype as Dtype]);
  if (end - begin !== wanted) {
    throw bad(path, `tensor ${name} has ${end - begin} bytes, and ${dtype}[${shape}] needs ${wanted}`);
  }
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

function requireGapless(entries: Entry[], bytes: number, path: string): void {
  let position = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== position) throw bad(path, `tensor ${name} begins at byte ${begin} instead of ${position}`);
    position = end;
  }
  if (position !== bytes) throw bad(path, `its tensors have ${position} bytes, the file ${bytes}`);
}

function metadataOf(found: unknown, path: string): Record<string, string> {
  if (found === undefined) return {};
  const isMap = typeof found === "object" && found !== null && !Array.isArray(found);
  if (!isMap || Object.values(found).some((value) => typeof value !== "string")) {
    throw bad(path, "its __metadata__ is not a map of texts");
  }
  return found as Record<string, string>;
}

function viewOf(dtype: Dtype, buffer: ArrayBuffer): TensorData {
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer);
    case "F32":
      return new Float32Array(buffer);
    case "I64":
      return new BigInt64Array(buffer);
    case "U64":
      return new BigUint64Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "I16":
      return new Int16Array(buffer);
    case "F16":
    case "BF16":
    case "U16":
      return new Uint16Array(buffer);
    case "I8":
      return new Int8Array(buffer);
    default:
      return new Uint8Array(buffer);
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, Math.min(MOST_AT_ONCE, bytes.length - done))).bytesWritten;
  }
}

async function readAll(file: FileHandle, bytes: Uint8Array, position: number, path: string): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const wanted = Math.min(MOST_AT_ONCE, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, wanted, position + done);
    if (bytesRead === 0) throw bad(path, "it is cut short");
    done += bytesRead;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: TensorData) => new Uint8Array(buffer, byteOffset, byteLength);

const isLength = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

/** Like an assignment, for names such as `__proto__` too. */
function define<T>(target: Record<string, T>, name: string, value: T): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

function bad(path: string, why: string): UserError {
  return new UserError("VL_CHECKPOINT_BAD", {
    what: `${path} is not a whole safetensors file.`,
    why: `${why}.`,
    hint: "use the checkpoint before",
  });
}
