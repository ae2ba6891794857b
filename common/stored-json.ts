/**
 * JSON objects that this and later versions of vastlane keep in a store. Each carries `format`; a higher one than ours
 * was written by a newer vastlane and is neither read nor overwritten, while a damaged one may be replaced.
 */
import { UserError } from "./errors.ts";

export const STORED_FORMAT = 1;

export type Stored = { fields: Record<string, unknown> } | { damaged: string };

/**
 * The object's fields, or why it cannot be used. `name` is for messages.
 * @throws UserError VL_CHECKPOINT_BAD when a newer vastlane has written it
 */
export function readStored(name: string, text: string | Uint8Array): Stored {
  let json: unknown;
  try {
    json = JSON.parse(typeof text === "string" ? text : Buffer.from(text).toString("utf8"));
  } catch {
    return { damaged: "it is not JSON" };
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return { damaged: "it is not an object" };
  const fields = json as Record<string, unknown>;
  if (typeof fields.format !== "number") return { damaged: "it has no format" };
  if (fields.format > STORED_FORMAT) throw newerFormat(name, fields.format);
  return { fields };
}

function newerFormat(name: string, format: number): UserError {
  return new UserError("VL_CHECKPOINT_BAD", {
    what: `${name} was written by a newer vastlane.`,
    why: `its format is ${format}; this vastlane knows ${STORED_FORMAT}`,
    hint: "update vastlane here, or start under another run id; nothing was overwritten",
  });
}
