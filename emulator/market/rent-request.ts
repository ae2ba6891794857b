/** The body of a create request (vast-api.md 3.1-3.3), read tolerantly and checked where the market checks. */

export interface RentRequest {
  image: string;
  env: [string, string][];
  /** US$/h for the whole contract; null: on demand. */
  bid: number | null;
  diskGB: number;
  label: string | null;
  onstart: string | null;
  args: string[];
  runtype: string;
  templateHash: string | null;
  cancelUnavail: boolean;
  targetStopped: boolean;
  isVm: boolean;
}

/** A body that the market refuses: its error code and text. */
export class RequestError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const DEFAULT_DISK_GB = 8;
const MAX_LABEL = 1024;
const MAX_ONSTART_BYTES = 16 * 1024;

/** @throws RequestError with the market's code. */
export function parseRentRequest(body: Record<string, unknown>): RentRequest {
  const templateHash = textOrNull(body.template_hash_id);
  const image = textOrNull(body.image);
  if (image === null && templateHash === null && body.template_id === undefined) {
    throw invalid("image is required without a template");
  }
  const args = Array.isArray(body.args) ? body.args.map(String) : splitWords(textOrNull(body.args_str) ?? "");
  const hasArgs = body.args !== undefined || body.args_str !== undefined;
  const bid = bidOf(body.price);
  const targetStopped = body.target_state === "stopped";
  return {
    image: image ?? "vastai/base-image:@vastai-automatic-tag",
    env: envOf(body.env),
    bid,
    diskGB: diskOf(body.disk),
    label: labelOf(body.label),
    onstart: onstartOf(body.onstart),
    args,
    runtype: textOrNull(body.runtype) ?? (hasArgs ? "args" : "ssh"),
    templateHash,
    cancelUnavail: typeof body.cancel_unavail === "boolean" ? body.cancel_unavail : bid === null && !targetStopped,
    targetStopped,
    isVm: body.vm === true,
  };
}

/** @throws RequestError `label_too_long`. An empty label is none. */
export function labelOf(value: unknown): string | null {
  const label = textOrNull(value);
  if (label !== null && label.length > MAX_LABEL) {
    throw new RequestError(
      "label_too_long",
      `error 400: label has ${label.length} characters, at most ${MAX_LABEL} are allowed`,
    );
  }
  return label === "" ? null : label;
}

/** @throws RequestError `invalid_price` unless null or 0.001..128. */
export function bidOf(value: unknown): number | null {
  if (value === null || value === undefined) return null;
  const price = typeof value === "number" ? value : Number(value);
  if (!(price >= 0.001 && price <= 128)) {
    throw new RequestError("invalid_price", "error 400/3495: Please set a bid price >= 0.001 and <= 128.");
  }
  return price;
}

/** Variables as `[name, value]`; ports, volumes and the hostname keep their flag as the name. */
export function envOf(value: unknown): [string, string][] {
  if (value === null || value === undefined || value === "") return [];
  if (typeof value === "string") return parseDockerFlags(value);
  if (typeof value !== "object" || Array.isArray(value)) throw invalid("env must be an object");
  return Object.entries(value).map(([name, text]) => [name, typeof text === "string" ? text : JSON.stringify(text)]);
}

function diskOf(value: unknown): number {
  if (value === null || value === undefined) return DEFAULT_DISK_GB;
  const disk = Number(value);
  if (!(disk > 0 && disk <= 1e6)) throw invalid(`disk must be a positive number of GB, not ${JSON.stringify(value)}`);
  return disk;
}

function onstartOf(value: unknown): string | null {
  const onstart = textOrNull(value);
  if (onstart !== null && Buffer.byteLength(onstart) > MAX_ONSTART_BYTES) {
    throw invalid(`onstart has ${Buffer.byteLength(onstart)} bytes, at most ${MAX_ONSTART_BYTES} are allowed`);
  }
  return onstart;
}

function textOrNull(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value !== "string") throw invalid(`expected a text, got ${JSON.stringify(value)?.slice(0, 40)}`);
  return value;
}

function invalid(message: string): RequestError {
  return new RequestError("invalid_args", `error 400/3467: Invalid args: ${message}`);
}

/** `-e A=b -p 80:80 -h name -v vol:/data` as the pairs that the official client makes of it. */
function parseDockerFlags(text: string): [string, string][] {
  const words = splitWords(text);
  const pairs: [string, string][] = [];
  for (let i = 0; i < words.length; i += 1) {
    const flag = words[i];
    const argument = words[i + 1];
    if (argument === undefined) break;
    if (flag === "-e") {
      const equals = argument.indexOf("=");
      if (equals > 0) pairs.push([argument.slice(0, equals), argument.slice(equals + 1)]);
    } else if (flag === "-p" || flag === "-v" || flag === "-n") pairs.push([`${flag} ${argument}`, "1"]);
    else if (flag === "-h") pairs.push(["-h", argument]);
    else continue;
    i += 1;
  }
  return pairs;
}

/** Splits at blanks outside quotes and takes the quotes away. */
function splitWords(text: string): string[] {
  const words = text.match(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replaceAll(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}
