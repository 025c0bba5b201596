// The shapes that a probe makes up for inputs that a model leaves open.
import { expect, it } from 'vitest';
import { prepareTraining } from '../../src/training/trainable.js';
import { linear } from './support.js';

it('takes the batch of a given shape for the other inputs too', async () => {
  const { inputs } = await prepareTraining(linear([1, 2]), { loss: 'mse', inputShapes: { x: [8, 2] } });
  expect(inputs.map(({ dims }) => dims)).toEqual([
    ['N', 2],
    ['N', 1],
  ]);
});

it('refuses a batch of 1 where the model leaves it open', async () => {
  const preparing = prepareTraining(linear([1, 2]), { loss: 'mse', inputShapes: { x: [1, 2] } });
  await expect(preparing).rejects.toThrow('Expected inputShapes to give x a batch of 2 or more, got 1');
});
