/**
 * What a run's key may do: list below its prefix, read, write and delete objects there. Not versions, not settings,
 * nothing beside it. The same as the policy that the program makes on AWS, so that what works here works there.
 */
import type { Grant } from "./keys.ts";

/**
 * What an operation touches: one object, a listing of keys or of uploads below a prefix, or more than a run may.
 * `many` has its keys in its body, and asks for each of them.
 */
export type Reach = "object" | "listing" | "many" | "owner";

export interface Wish {
  reach: Reach;
  bucket: string;
  key: string;
  /** Of a listing. */
  prefix: string;
  versionId: string | undefined;
  /** The `x-amz-tagging` header, which asks for more than a run may. */
  hasTags: boolean;
}

export function mayDo(grant: Grant, wish: Wish): boolean {
  if (grant === null) return true;
  if (grant.bucket !== wish.bucket) return false;
  if (wish.reach === "many") return true;
  if (wish.reach === "listing") return isBelow(grant, wish.prefix);
  return wish.reach === "object" && wish.versionId === undefined && !wish.hasTags && isBelow(grant, wish.key);
}

/** With the slash: `runs/a` reaches nothing of `runs/ab`. */
export function isBelow(grant: NonNullable<Grant>, text: string): boolean {
  return grant.prefix === "" || text.startsWith(`${grant.prefix}/`);
}
