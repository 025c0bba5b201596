// The operator set that the operators that unpack need.
import { SecateurError } from '../errors.js';
import type { LoadedModel } from '../onnx/load.js';
import { standardOpset } from '../onnx/opset.js';

/** The oldest with every operator that unpacks, in the form that is written. */
const OLDEST_OPSET = 13;

/** Why a model cannot unpack itself; undefined where it can. */
export function opsetProblem({ model, path }: LoadedModel): SecateurError | undefined {
  const version = standardOpset(model) ?? 0;
  if (version >= OLDEST_OPSET) return undefined;
  const expected = `Expected ${path} to have opset ${OLDEST_OPSET} or later, whose Split takes sizes as an input`;
  const advice = 'export it anew, or use the format sparse';
  return new SecateurError('UNSUPPORTED', `${expected}, got ${version}: ${advice}`, { path });
}
