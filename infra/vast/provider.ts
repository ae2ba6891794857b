/**
 * The dynamic providers as they are written into the state: each method is one call into the project's own code on
 * disk. The methods capture nothing, so that no secret can be captured, the state stays small, and a fix in the code
 * reaches resources that exist. The call is spelled out in each method because a shared helper would be a capture.
 *
 * `createRequire(process.cwd())` is the form that works from state, started from the project folder or elsewhere
 * with `-C` (tried with 3.259.0 and Node 24; a relative path or plain `require` does not).
 */
import type * as pulumi from "@pulumi/pulumi";

// biome-ignore-start lint/suspicious/noExplicitAny: bags of properties whose types are checked in the handlers
export const guardProvider: pulumi.dynamic.ResourceProvider<any, any> = {
  async configure() {
    process.getBuiltinModule("node:module").createRequire(`${process.cwd()}/`)("vastlane/provider").configure();
  },
  async create(inputs: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .guard.create(inputs);
  },
  async diff(id: any, olds: any, news: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .guard.diff(id, olds, news);
  },
  async read(id: any, state: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .guard.read(id, state);
  },
  async delete(id: any, state: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .guard.delete(id, state);
  },
};

export const instanceProvider: pulumi.dynamic.ResourceProvider<any, any> = {
  async configure() {
    process.getBuiltinModule("node:module").createRequire(`${process.cwd()}/`)("vastlane/provider").configure();
  },
  async create(inputs: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .instance.create(inputs);
  },
  async diff(id: any, olds: any, news: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .instance.diff(id, olds, news);
  },
  async read(id: any, state: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .instance.read(id, state);
  },
  async update(id: any, olds: any, news: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .instance.update(id, olds, news);
  },
  async delete(id: any, state: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .instance.delete(id, state);
  },
};
// biome-ignore-end lint/suspicious/noExplicitAny: see above
