/**
 * The schema of everything under `vastlane:` in a stack's configuration, and its one parser.
 * Wrong configuration is reported all at once: each problem with its path, what was wanted, what came, and
 * the nearest right key. docs/config.md is generated from the descriptions below.
 */
import { z } from "zod";
import { type ErrorText, UserError } from "../common/errors.ts";
import { nearest } from "../common/nearest.ts";
import { BUCKET_RULES, isBucketName, isPrefix, PREFIX_RULES } from "./storage/names.ts";

/** An optional section: absent means "all defaults". */
const section = <S extends z.ZodRawShape>(meaning: string, shape: S) =>
  z
    .strictObject(shape)
    .prefault({} as never)
    .describe(meaning);

const positive = () => z.number().positive();

/** The account key can rent and destroy everything: it never goes to a rented machine, under whichever setting. */
const notAccountKey = z
  .string()
  .refine((name) => !/^VAST(AI)?_API_KEY$/i.test(name), "another name: the account key never goes to a rented machine");
const environment = () => z.record(notAccountKey, z.string()).default({});

function isEndpoint(address: string): boolean {
  return URL.canParse(address) && /^https?:\/\/[^/?#@]+\/?$/.test(address);
}

export const gpuSchema = section("Which machines may be rented: every condition must hold.", {
  names: z
    .array(z.string())
    .default([])
    .describe("Accepted GPU models, as the market spells them; empty: any.")
    .meta({ example: ["RTX 3090", "RTX 4090"] }),
  count: z.int().positive().default(1).describe("GPUs on the machine."),
  minVramGB: z.number().nonnegative().default(0).describe("Least memory per GPU, in GB.").meta({ example: 24 }),
  minCuda: z
    .string()
    .regex(/^\d+(\.\d+)?$/, "a version such as 12.4")
    .default("0")
    .describe('Least CUDA version that the driver supports, as text ("12.4").')
    .meta({ example: "12.4" }),
  minReliability: z.number().min(0).max(1).default(0.95).describe("Least reliability of the host, 0 to 1."),
  verified: z.boolean().default(true).describe("Only machines that the market has verified."),
  geolocation: z
    .array(z.string().regex(/^[A-Za-z]{2}$/, "a two-letter country code"))
    .default([])
    .describe("Accepted countries, as two-letter codes; empty: any.")
    .meta({ example: ["NO", "SE"] }),
  minDownMbps: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Least download speed of the host, in Mb/s.")
    .meta({ example: 200 }),
  exclude: section("What is never rented.", {
    machines: z
      .array(z.int())
      .default([])
      .describe("Machine ids never to rent.")
      .meta({ example: [12345] }),
    hosts: z
      .array(z.int())
      .default([])
      .describe("Host ids never to rent from.")
      .meta({ example: [678] }),
  }),
});

export const rentalSchema = section("How a machine is rented and what it may cost.", {
  type: z
    .enum(["on-demand", "interruptible"])
    .default("interruptible")
    .describe("interruptible: cheaper, can be taken away at any moment. on-demand: fixed price."),
  maxPricePerHour: positive().default(1).describe("Price cap in USD per hour for the whole machine, disk included."),
  bid: z
    .union([z.literal("auto"), positive()])
    .default("auto")
    .describe(
      "Bid in USD per hour for the GPUs, which is never raised; or auto: the cheapest by expected cost, within the cap.",
    )
    .meta({ example: 0.25 }),
  onOutbid: z
    .enum(["wait", "raise", "replace", "auto"])
    .default("auto")
    .describe("What to do when somebody bids more: wait, raise the bid up to the cap, or rent elsewhere."),
});

export const budgetSchema = section("When a machine ends by itself, also with no laptop in reach.", {
  maxUsd: positive()
    .default(10)
    .describe("Most that one machine may cost, in USD, at the price it is rented for; then it destroys itself."),
  maxHours: positive().default(24).describe("The machine destroys itself this many hours after its first start."),
  idleMinutes: positive().default(30).describe("Minutes without GPU, SSH or file activity until the machine is idle."),
  onDone: z
    .enum(["auto", "destroy", "stop"])
    .default("auto")
    .describe(
      "What a machine does with itself when its run is done or it is idle. auto: stop where its disk may be the only copy (a dev box, no store), else destroy. A stopped machine bills its disk.",
    ),
});

export const machineSchema = section("What runs on the rented machine, and how many there are.", {
  image: z.string().default("pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime").describe("Docker image of the machine."),
  diskGB: z.number().min(1).default(40).describe("Disk in GB; billed from rent to destroy, also while stopped."),
  env: environment()
    .describe("Environment that the market injects; never secrets.")
    .meta({ example: { TZ: "UTC" } }),
  nodes: z.int().min(1).max(64).default(1).describe("How many machines."),
  loadingTimeoutMinutes: positive()
    .default(10)
    .describe("Give a machine up when its loading makes no progress for this long."),
});

export const checkpointSchema = z
  .strictObject({
    store: z
      .enum(["none", "aws", "s3"])
      .default("none")
      .describe(
        "Where checkpoints go: none (the machine's disk only), aws (a bucket made with `@pulumi/aws`), or s3 (any S3 endpoint, AWS too; on the emulated market its own).",
      ),
    s3_bucket: z
      .string()
      .refine(isBucketName, BUCKET_RULES)
      .nullable()
      .default(null)
      .describe("Bucket for checkpoints: made if it does not exist, used as it is if it does, kept on destroy.")
      .meta({ example: "my-bucket" }),
    s3_prefix: z
      .string()
      .refine(isPrefix, PREFIX_RULES)
      .default("checkpoints")
      .describe("What this stack's keys in the bucket begin with.")
      .meta({ example: "checkpoints/dev" }),
    endpoint: z
      .string()
      .refine(isEndpoint, "an address such as https://s3.example.com")
      .nullable()
      .default(null)
      .describe("S3 endpoint; null: AWS, or the emulator's own.")
      .meta({ example: "https://s3.example.com" }),
    region: z
      .string()
      .regex(/^[a-z0-9-]+$/, "a region such as eu-central-1")
      .nullable()
      .default(null)
      .describe("Region of the bucket; null: AWS_REGION, or us-east-1.")
      .meta({ example: "eu-central-1" }),
    everySteps: z.int().positive().default(200).describe("Checkpoint every so many steps."),
    everySeconds: z
      .union([z.literal("auto"), positive()])
      .default("auto")
      .describe("Checkpoint every so many seconds, or auto."),
    keepLast: z.int().positive().default(3).describe("Checkpoints kept on the machine's disk."),
    keepRemote: z
      .int()
      .positive()
      .nullable()
      .default(null)
      .describe("Checkpoints kept in the store: the newest so many (2 at least); null: all.")
      .meta({ example: 10 }),
    keepEvery: z
      .int()
      .positive()
      .nullable()
      .default(null)
      .describe("With keepRemote: also every checkpoint whose step is a multiple of this.")
      .meta({ example: 10000 }),
    keepBest: z
      .int()
      .positive()
      .nullable()
      .default(null)
      .describe("With keepRemote: also so many with the lowest loss.")
      .meta({ example: 3 }),
  })
  .superRefine((checkpoint, context) => {
    const problem = (key: string, message: string) => context.addIssue({ code: "custom", path: [key], message });
    if (checkpoint.store !== "none" && checkpoint.s3_bucket === null)
      problem("s3_bucket", `the name of a bucket, because store is ${checkpoint.store}`);
    if (checkpoint.store === "aws" && checkpoint.endpoint !== null)
      problem("endpoint", "null with store: aws; another endpoint takes store: s3");
  })
  .prefault({})
  .describe("Where checkpoints are kept and how often they are made.");

export const loggingSchema = section("Where metrics go besides `metrics.jsonl`.", {
  tensorboard: z.boolean().default(true).describe("Write TensorBoard event files."),
  use_wandb: z.boolean().default(false).describe("Log to Weights & Biases."),
  wandb_project: z.string().default("vastai-experiments").describe("Weights & Biases project."),
});

export const workspaceSchema = section("What is copied to the machine.", {
  sync: z
    .array(z.string())
    .default(["."])
    .describe("Folders and files sent to the machine; .gitignore and .vastlaneignore hold."),
  repo: z
    .strictObject({ url: z.string(), ref: z.string().optional() })
    .nullable()
    .default(null)
    .describe("A git repository to clone on the machine.")
    .meta({ example: { url: "https://github.com/me/model", ref: "main" } }),
  requirements: z
    .string()
    .nullable()
    .default("requirements.txt")
    .describe("Python requirements, installed when the file is there."),
  setup: z
    .string()
    .nullable()
    .default(null)
    .describe("A script to run once on the machine after the sync.")
    .meta({ example: "setup.sh" }),
  data: z
    .array(z.strictObject({ from: z.string(), to: z.string() }))
    .default([])
    .describe("Data to stage from S3 to the machine.")
    .meta({ example: [{ from: "s3://my-bucket/data", to: "/workspace/data" }] }),
});

export const sshSchema = section("How people reach the machine.", {
  publicKey: z
    .string()
    .default("~/.ssh/id_ed25519.pub")
    .describe("The public key that may log in: a path or the key itself."),
  privateKey: z
    .string()
    .nullable()
    .default(null)
    .describe("Path of the private key; null: the SSH agent and OpenSSH's defaults.")
    .meta({ example: "~/.ssh/id_ed25519" }),
  host: z.string().default("vastlane-{stack}").describe("Host alias for ssh, rsync and VS Code."),
  localForward: z.array(z.string()).default(["8080 localhost:6006"]).describe("LocalForward lines of the host entry."),
});

export const experimentSchema = section("What is run on the machine.", {
  command: z
    .array(z.string())
    .min(1)
    .nullable()
    .default(null)
    .describe("The training command; null: a dev box, nothing is started.")
    .meta({ example: ["python", "train.py"] }),
  params: z
    .record(z.string(), z.json())
    .default({})
    .describe("Handed to the command as JSON in VASTLANE_PARAMS.")
    .meta({ example: { steps: 20000 } }),
  env: environment()
    .describe("Environment of the command; never secrets.")
    .meta({ example: { OMP_NUM_THREADS: "8" } }),
  onCodeChange: z
    .enum(["resume", "fresh", "refuse"])
    .default("resume")
    .describe("What changed code means for an old run."),
  onParamChange: z
    .enum(["resume", "fresh", "refuse"])
    .default("fresh")
    .describe("What changed parameters mean for an old run."),
});

export const configSchema = z.strictObject({
  market: z
    .enum(["vast", "emulator"])
    .default("vast")
    .describe("vast: the real market, for money. emulator: the one on this computer."),
  mode: z.enum(["dev", "prod"]).default("dev").describe("Sets DEV_MODE=True or False for the experiment."),
  gpu: gpuSchema,
  rental: rentalSchema,
  budget: budgetSchema,
  machine: machineSchema,
  checkpoint: checkpointSchema,
  logging: loggingSchema,
  workspace: workspaceSchema,
  secrets: z
    .array(notAccountKey.regex(/^[A-Za-z_]\w*$/, "a name such as HF_TOKEN"))
    .default([])
    .describe(
      "Names of secrets for the machine's 0600 env file; values come from the environment, .env or secret config.",
    )
    .meta({ example: ["HF_TOKEN"] }),
  ssh: sshSchema,
  experiment: experimentSchema,
});

export type StackConfig = z.infer<typeof configSchema>;

/** The names of a stack's machines: `main`, then `node1`, `node2` ... so that a stack can grow and shrink in place. */
export function machineNames(config: Pick<StackConfig, "machine">): string[] {
  return Array.from({ length: config.machine.nodes }, (_, i) => (i === 0 ? "main" : `node${i}`));
}

/**
 * Checks raw configuration: an object from key (without `vastlane:`) to a value or to a JSON text of it.
 * @throws UserError VL_BAD_CONFIG naming every problem at once.
 */
export function parseConfig(raw: Record<string, unknown>, source = "the stack's configuration"): StackConfig {
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) {
    if (!isSecretOf(key, raw)) values[key] = fromText(key, value);
  }
  const result = configSchema.safeParse(values);
  if (result.success) return result.data;
  throw new UserError("VL_BAD_CONFIG", describeProblems(result.error, values, source));
}

/** Secret values named in `vastlane:secrets` may sit beside the schema's keys (`pulumi config set --secret`). */
function isSecretOf(key: string, raw: Record<string, unknown>): boolean {
  const names = fromText("secrets", raw.secrets);
  return Array.isArray(names) && names.includes(key) && !(key in configSchema.shape) && !isAccountKey(key);
}

/** Pulumi hands every value over as text; structured ones are JSON. */
function fromText(key: string, value: unknown): unknown {
  if (typeof value !== "string" || !(key in configSchema.shape)) return value;
  if (key === "market" || key === "mode") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function describeProblems(error: z.ZodError, values: unknown, source: string): ErrorText {
  const lines = error.issues.flatMap((issue) => describeIssue(issue, values));
  return {
    what: `${source} has ${lines.length === 1 ? "a problem" : `${lines.length} problems`}:`,
    why: lines.map((line) => `\n    ${line}`).join(""),
    hint: "correct the Pulumi.<stack>.yaml file; docs/config.md lists every key with its default",
  };
}

function describeIssue(issue: z.core.$ZodIssue, values: unknown): string[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      // Pulumi copies its configuration into the state of the dynamic provider.
      if (isAccountKey(key))
        return `vastlane:${key}: the account key must not be in the configuration, as Pulumi would copy it into the state; set VASTAI_API_KEY in the environment or in .env`;
      const known = keysAt(issue.path);
      const near = nearest(key, known);
      return `${pathText([...issue.path, key])}: unknown key${near ? `; did you mean ${near}?` : `; known: ${known.join(", ")}`}`;
    });
  }
  // The name is what is wrong, and the value may be a secret.
  if (issue.code === "invalid_key") {
    return [`${pathText(issue.path)}: wanted ${issue.issues.map(wanted).join(" or ")}`];
  }
  const came = issue.path.reduce<unknown>(
    (at, part) => (at as Record<PropertyKey, unknown> | undefined)?.[part],
    values,
  );
  return [
    `${pathText(issue.path)}: wanted ${wanted(issue)}, got ${came === undefined ? "nothing" : JSON.stringify(came)}`,
  ];
}

function isAccountKey(key: string): boolean {
  return /^(vast_?(ai_?)?)?api_?key$/i.test(key);
}

function wanted(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type") return TYPES[issue.expected] ?? `a value of type ${issue.expected}`;
  if (issue.code === "invalid_value") return issue.values.map((value) => JSON.stringify(value)).join(" or ");
  if (issue.code === "too_small") {
    const unit = issue.origin === "array" ? " item" : "";
    return `${issue.inclusive ? "at least" : "more than"} ${issue.minimum}${unit}`;
  }
  if (issue.code === "too_big") return `${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`;
  if (issue.code === "invalid_format") return issue.message;
  if (issue.code === "invalid_union") return issue.errors.flat().map(wanted).join(" or ");
  return issue.message;
}

/** What zod calls a type, in words. */
const TYPES: Record<string, string> = {
  array: "a list",
  boolean: "true or false",
  int: "a whole number",
  number: "a number",
  object: "a mapping of keys",
  record: "a mapping of keys",
  string: "a text",
};

function keysAt(path: PropertyKey[]): string[] {
  let schema: z.ZodType = configSchema;
  for (const part of path) {
    const inner = unwrap(schema);
    if (inner instanceof z.ZodArray) schema = inner.element as z.ZodType;
    else if (inner instanceof z.ZodObject) schema = inner.shape[part as string] as z.ZodType;
    else return [];
  }
  const inner = unwrap(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** The type behind default, prefault and null. */
export function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodPrefault || inner instanceof z.ZodDefault || inner instanceof z.ZodNullable) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function pathText(path: PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part}]` : `${text}${text.endsWith(":") ? "" : "."}${String(part)}`,
    "vastlane:",
  );
}
