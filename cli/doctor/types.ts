/** What a check of `vastlane doctor` is given and what it finds. */
import type { Clock } from "../../common/clock.ts";
import type { Env } from "../project.ts";

export interface CheckContext {
  env: Env;
  root: string;
  clock: Clock;
  signal: AbortSignal;
}

export interface Finding {
  state: "ok" | "warn" | "fail";
  /** What was found, in one line. */
  detail: string;
  /** In place of the check's own fix. */
  fix?: string;
}

export interface Check {
  name: string;
  run(context: CheckContext): Finding | Promise<Finding>;
  fix: string;
}
