// A graph made into a model: operator set, file format version, who made it, and metadata.
import { create } from '@bufbuild/protobuf';
import { type GraphProto, type ModelProto, ModelProtoSchema } from '../schema/onnx_pb.js';

export interface ModelOptions {
  /** Version of the default operator set, 11 or later. */
  opset: number;
  /** Versions of other operator sets by domain, such as `{ 'com.microsoft': 1 }`. */
  domains?: Readonly<Record<string, number>>;
  /** @default 'secateur' */
  producerName?: string;
  producerVersion?: string;
  /** Free key-value pairs of the model (`metadata_props`). */
  metadata?: Readonly<Record<string, string>>;
  docString?: string;
}

// The IR version that the ONNX release with each operator set introduced or carried (ONNX, docs/Versioning.md). The
// oldest that fits is written, so that older runtimes load the model too.
const irVersions: readonly (readonly [lastOpset: number, irVersion: number])[] = [
  [11, 6],
  [14, 7],
  [18, 8],
  [20, 9],
  [22, 10],
];

/** Wraps a graph in a model; the graph is not copied. */
export function modelOf(graph: GraphProto, options: ModelOptions): ModelProto {
  const { opset, domains = {}, producerName = 'secateur', producerVersion, metadata = {}, docString } = options;
  const irVersion = irVersions.find(([lastOpset]) => opset <= lastOpset)?.[1] ?? 11;
  return create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    opsetImport: Object.entries({ '': opset, ...domains }).map(([domain, version]) => ({
      domain,
      version: BigInt(version),
    })),
    producerName,
    ...(producerVersion === undefined ? {} : { producerVersion }),
    ...(docString === undefined ? {} : { docString }),
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph,
  });
}
