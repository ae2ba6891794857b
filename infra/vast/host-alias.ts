/** Names under which people reach machines. */
import type { StackConfig } from "../config.ts";

/** The alias of one machine of a stack: the stack's own for the first, with the machine's name after it for others. */
export function hostAlias(config: StackConfig, stack: string, name: string): string {
  const host = config.ssh.host.replace("{stack}", stack);
  return name === "main" ? host : `${host}-${name}`;
}
