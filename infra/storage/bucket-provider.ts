/**
 * The bucket's dynamic provider as it is written into the state: shims that capture nothing and call the project's own
 * code on disk. For the form of the call, and why it is spelled out each time, see ../vast/provider.ts.
 */
import type * as pulumi from "@pulumi/pulumi";

// biome-ignore-start lint/suspicious/noExplicitAny: bags of properties whose types are checked in the handlers
export const bucketProvider: pulumi.dynamic.ResourceProvider<any, any> = {
  async configure() {
    process.getBuiltinModule("node:module").createRequire(`${process.cwd()}/`)("vastlane/provider").configure();
  },
  async create(inputs: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .bucket.create(inputs);
  },
  async diff(id: any, olds: any, news: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .bucket.diff(id, olds, news);
  },
  async read(id: any, state: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .bucket.read(id, state);
  },
  async update(id: any, olds: any, news: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .bucket.update(id, olds, news);
  },
  async delete(id: any, state: any) {
    return process
      .getBuiltinModule("node:module")
      .createRequire(`${process.cwd()}/`)("vastlane/provider")
      .bucket.delete(id, state);
  },
};
// biome-ignore-end lint/suspicious/noExplicitAny: see above
