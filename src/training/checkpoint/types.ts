// What a training checkpoint of ONNX Runtime holds, as plain objects. The file format is in decode.ts and encode.ts.

/** A parameter or a momentum. */
export interface CheckpointTensor {
  name: string;
  /** `[]` for a scalar, and for every tensor of a nominal checkpoint. */
  dims: number[];
  /** The ONNX number of the element type: 1 is float32, 7 int64. */
  dataType: number;
  /**
   * Little-endian elements in row-major order. May be a view of a larger buffer at any position. Empty where the
   * checkpoint is nominal and for strings.
   */
  data: Uint8Array;
  /** Elements of a string tensor (data type 8). */
  strings?: string[];
  docString?: string;
}

/** The optimizer's state of one parameter. */
export interface ParameterState {
  parameter: string;
  /** AdamW names them `momentum0` and `momentum1`. */
  momentums: CheckpointTensor[];
}

/** A group of parameters that share an optimizer's settings; the official tool writes one, `group0`. */
export interface OptimizerGroup {
  name: string;
  /** Steps taken. */
  step: number;
  initialLearningRate: number;
  states: ParameterState[];
}

/** A value that the user of a checkpoint keeps in it. */
export type Property =
  | { kind: 'int'; name: string; value: bigint }
  | { kind: 'float'; name: string; value: number }
  | { kind: 'string'; name: string; value: string };

/** A whole checkpoint. Tensors are found by name: their order means nothing. */
export interface Checkpoint {
  /** The version of the file that it came from. Version 2 is what is written. */
  version: number;
  /** Parameters that training changes. */
  trainable: CheckpointTensor[];
  /** Parameters that it does not. */
  frozen: CheckpointTensor[];
  /** Whether the tensors have names and types only: their values come from elsewhere. */
  nominal: boolean;
  optimizerGroups: OptimizerGroup[];
  properties: Property[];
}
