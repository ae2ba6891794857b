/** Writes docs/config.md from the schema of the stack configuration. Run: npm run config-reference */
import { writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { z } from "zod";
import { configSchema, unwrap } from "../infra/config.ts";
import { docsPath, generatedFrom, markdownTable } from "./page.ts";

export const configPage = docsPath("config.md");

interface Key {
  name: string;
  schema: z.ZodType;
  default: unknown;
}

/** Every key with its path below `vastlane:`, its description and its example. */
export function configKeys(): { path: string; meaning: string; example: unknown }[] {
  const defaults: Record<string, unknown> = configSchema.parse({});
  return Object.entries(configSchema.shape as Record<string, z.ZodType>).flatMap(([name, schema]) => {
    const keys = isSection(schema)
      ? keysOf(schema, defaults[name], `${name}.`)
      : [{ name, schema, default: defaults[name] }];
    return keys.map((key) => ({ path: key.name, meaning: key.schema.description ?? "", example: exampleOf(key) }));
  });
}

/** The whole text of the page. */
export function renderConfig(): string {
  const defaults: Record<string, unknown> = configSchema.parse({});
  const entries = Object.entries(configSchema.shape) as [string, z.ZodType][];
  const plain = entries.filter(([, schema]) => !isSection(schema));
  const sections = entries.filter(([, schema]) => isSection(schema));
  return `# Configuration

${generatedFrom("infra/config.ts", "config-reference")}

A stack is configured in \`Pulumi.<stack>.yaml\`, under \`config:\`, in keys that begin with \`vastlane:\`:

\`\`\`yaml
config:
  vastlane:market: vast
  vastlane:gpu: { names: [RTX 3090, RTX 4090], minVramGB: 24 }
  vastlane:rental: { type: interruptible, maxPricePerHour: 0.50 }
  vastlane:experiment: { command: [python, train.py], params: { steps: 20000 } }
\`\`\`

Everything has a default. Wrong configuration is reported all at once, each problem with its path, what was wanted and
what came. Single values can be set with \`pulumi config set --path vastlane:gpu.count 2 --stack dev\`. The account key
does not belong here: Pulumi would copy it into the state. Set \`VASTAI_API_KEY\` in the environment or in \`.env\`.

${tableOf(plain.map(([name, schema]) => ({ name: `vastlane:${name}`, schema, default: defaults[name] })))}

${sections.map(([name, schema]) => renderSection(name, schema, defaults[name])).join("\n\n")}
`;
}

function renderSection(name: string, schema: z.ZodType, value: unknown): string {
  return `## vastlane:${name}\n\n${schema.description ?? ""}\n\n${tableOf(keysOf(schema, value, ""))}`;
}

function tableOf(keys: readonly Key[]): string {
  return markdownTable(
    ["Key", "Type", "Default", "Meaning", "Example"],
    keys.map((key) => [
      `\`${key.name}\``,
      typeOf(key.schema),
      code(key.default),
      key.schema.description ?? "",
      code(exampleOf(key)),
    ]),
  );
}

/** The keys of a section; those of a section inside it follow with their path. */
function keysOf(schema: z.ZodType, value: unknown, prefix: string): Key[] {
  const inner = unwrap(schema) as z.ZodObject;
  return Object.entries(inner.shape as Record<string, z.ZodType>).flatMap(([name, of]) => {
    const at = (value as Record<string, unknown>)[name];
    return isSection(of) ? keysOf(of, at, `${prefix}${name}.`) : [{ name: prefix + name, schema: of, default: at }];
  });
}

/** A mapping that has defaults of its own: its keys are documented, not it. */
function isSection(schema: z.ZodType): boolean {
  return schema instanceof z.ZodPrefault && unwrap(schema) instanceof z.ZodObject;
}

/** The one that the schema names, else a value that is not the default where there are few, else the default. */
function exampleOf({ schema, default: value }: Key): unknown {
  const { example } = (schema.meta() ?? {}) as { example?: unknown };
  if (example !== undefined) return example;
  const inner = unwrap(schema);
  if (inner instanceof z.ZodEnum) return inner.options.find((option) => option !== value) ?? value;
  return inner instanceof z.ZodBoolean ? !value : value;
}

function typeOf(schema: z.ZodType): string {
  if (schema instanceof z.ZodNullable) return `${typeOf(schema.unwrap() as z.ZodType)} or \`null\``;
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return typeOf(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodEnum) return schema.options.map(code).join(" or ");
  if (schema instanceof z.ZodLiteral) return [...schema.values].map(code).join(" or ");
  if (schema instanceof z.ZodUnion) return schema.options.map((option) => typeOf(option as z.ZodType)).join(" or ");
  if (schema instanceof z.ZodArray) return `list of ${typeOf(schema.element as z.ZodType).replace(/\w$/, "$&s")}`;
  if (schema instanceof z.ZodRecord)
    return schema.valueType instanceof z.ZodString ? "mapping of names to texts" : "mapping of names to any values";
  if (schema instanceof z.ZodObject) return fieldsOf(schema);
  if (schema instanceof z.ZodBoolean) return "`true` or `false`";
  if (schema instanceof z.ZodString) return "text";
  if (schema instanceof z.ZodNumber) return schema.isInt ? "whole number" : "number";
  throw new Error(`no words for ${schema.constructor.name}: add them here`);
}

/** `{ url, ref? }`: names only, as the meaning says the rest. */
function fieldsOf(schema: z.ZodObject): string {
  const fields = Object.entries(schema.shape).map(([name, of]) => (of instanceof z.ZodOptional ? `${name}?` : name));
  return `\`{ ${fields.join(", ")} }\``;
}

/** A value as one would write it in the YAML file. */
function code(value: unknown): string {
  return `\`${stringify(value, { collectionStyle: "flow", flowCollectionPadding: true, lineWidth: 0 }).trim()}\``;
}

if (import.meta.main) writeFileSync(configPage, renderConfig());
