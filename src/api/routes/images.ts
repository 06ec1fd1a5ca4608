import { z } from 'zod';
import { captureParams, captureStatus, imageListing, imageParams, imagesQuery } from '../../contract/images.ts';
import { captureImage, listImages, removeImage, type Captures } from '../images.ts';
import { leavingOf } from '../leaving.ts';
import type { Routes } from '../server.ts';

/** What machines are made from, at providers that keep it. */
export const imageRoutes: Routes = (api, deps) => {
  const captures: Captures = new Map();
  api.get(
    '/v1/images',
    {
      schema: {
        summary: 'The images of each provider that keeps any, or of one',
        querystring: imagesQuery,
        response: { 200: z.array(imageListing) },
      },
    },
    async (request, reply) => [...(await listImages(deps, request.query.provider, leavingOf(reply)))],
  );
  api.put(
    '/v1/machines/:id/images/:image',
    {
      schema: {
        summary: 'Take an image of a machine that runs or is off; asked again, it is waited for on',
        params: captureParams,
        response: { 200: captureStatus },
      },
    },
    (request, reply) => captureImage(deps, captures, request.params.id, request.params.image, leavingOf(reply)),
  );
  api.delete(
    '/v1/providers/:name/images/:image',
    {
      schema: {
        summary: 'Remove an image that was taken of a machine; refused while machines lie upon it',
        params: imageParams,
        response: { 200: imageListing },
      },
    },
    (request, reply) => removeImage(deps, request.params.name, request.params.image, leavingOf(reply)),
  );
};
