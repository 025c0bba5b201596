// A model whose outputs are the statistics of a batch at every BatchNormalization: the training mode without gradients,
// without running statistics, and without the rest of the network behind the last of them.
import { create } from '@bufbuild/protobuf';
import { setAttribute } from '../../autodiff/raise-opset.js';
import { toTrainingMode } from '../../autodiff/training-mode.js';
import { SecateurError } from '../../errors.js';
import { float } from '../../onnx/build/attributes.js';
import { GraphBuilder } from '../../onnx/build/graph-builder.js';
import { copyModel } from '../../onnx/copy.js';
import { isStandard } from '../../onnx/graph.js';
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from '../../onnx/schema/onnx_pb.js';

/** A node's running mean and variance by the names of their initializers, and those of a batch by names of outputs. */
export interface Norm {
  readonly mean: string;
  readonly variance: string;
  readonly channels: number;
  readonly batchMean: string;
  readonly batchVariance: string;
}

/**
 * The probe, and its nodes in the order of the graph.
 *
 * @throws SecateurError UNSUPPORTED where no node has statistics of its own.
 */
export function statisticsProbe(source: ModelProto): { model: ModelProto; norms: Norm[] } {
  const copy = copyModel(source);
  const separate = copy.graph === undefined ? [] : separateStatistics(copy.graph);
  if (separate.length === 0) throw nothingToCalibrate();
  const { model, running } = toTrainingMode(copy, { dropout: false });
  const norms = separate.map(({ own: [mean = '', variance = ''], ...norm }): Norm => {
    return { ...norm, batchMean: running.get(mean) ?? '', batchVariance: running.get(variance) ?? '' };
  });
  const outputs = norms.flatMap(({ batchMean, batchVariance }) => [batchMean, batchVariance]);
  if (model.graph) model.graph.output = outputs.map((name) => create(ValueInfoProtoSchema, { name }));
  return { model, norms };
}

type Separate = Pick<Norm, 'mean' | 'variance' | 'channels'> & { own: string[] };

/** Gives every node statistics of its own, so that shared ones are measured at each of their nodes. */
function separateStatistics(graph: GraphProto): Separate[] {
  const builder = GraphBuilder.extend(graph);
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  return graph.node.flatMap((node): Separate[] => {
    const [mean, variance] = statisticsOf(node).map((name) => initializers.get(name));
    if (mean === undefined || variance === undefined) return [];
    const own = [mean, variance].map((tensor) => addZeros(graph, tensor, builder));
    node.input.splice(3, 2, ...own);
    // Nothing is left of the old statistics, so that the new ones are the batch's.
    setAttribute(node, 'momentum', float(0));
    return [{ mean: mean.name, variance: variance.name, channels: Number(mean.dims[0] ?? 0n), own }];
  });
}

function statisticsOf(node: NodeProto): string[] {
  return isStandard(node) && node.opType === 'BatchNormalization' ? node.input.slice(3, 5) : [];
}

/** Not the old values, which may be infinite: 0 times infinity is no number. */
function addZeros(graph: GraphProto, { name, dims, dataType, rawData }: TensorProto, builder: GraphBuilder): string {
  const own = builder.fresh(`${name}/own`);
  graph.initializer.push(
    create(TensorProtoSchema, { name: own, dims, dataType, rawData: new Uint8Array(rawData.byteLength) }),
  );
  return own;
}

function nothingToCalibrate(): SecateurError {
  return new SecateurError(
    'UNSUPPORTED',
    'Expected a model with BatchNormalization whose statistics are initializers, got none; exporters often fold it into ' +
      'the convolution before it, and then there is nothing to recalibrate',
  );
}
