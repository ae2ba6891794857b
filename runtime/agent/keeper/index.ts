/** The run beyond this machine: claiming it, bringing back, keeping the store up to date, closing it. */
export type { Claimed } from "./claim.ts";
export { type Keeper, type KeeperOptions, openKeeper } from "./keeper.ts";
export { outputKey, saveOutput } from "./output.ts";
export { readPrice, spentHere } from "./spend.ts";
export { keepWorkspace } from "./workspace.ts";
