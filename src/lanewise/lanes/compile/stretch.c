/* Steps of a compiled program one after another, with no Python between them.
 *
 * The program is a shared library made by AOTInductor; both talk to torch through its C interface
 * (torch/csrc/inductor/aoti_torch/c/shim.h), so that this file needs no headers of torch and compiles at once.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void *Tensor;
typedef int32_t Failed;

extern Failed aoti_torch_create_tensor_from_blob(
    void *data, int64_t dimensions, const int64_t *sizes, const int64_t *strides, int64_t offset, int32_t dtype,
    int32_t device_type, int32_t device, Tensor *made);
extern Failed aoti_torch_delete_tensor_object(Tensor tensor);
extern Failed aoti_torch_get_data_ptr(Tensor tensor, void **data);
extern Failed aoti_torch_get_stride(Tensor tensor, int64_t dimension, int64_t *stride);

/* AOTInductorModelContainerRun: it takes the inputs over, and gives the outputs away. */
typedef Failed (*Run)(void *program, Tensor *inputs, size_t count, Tensor *outputs, size_t returned, void *, void *);

/* An input of every step: that of step n lies n * advance bytes behind that of step 0. */
typedef struct {
    char *data;
    int64_t advance;
    const int64_t *sizes, *strides;
    int32_t dimensions, dtype;
} Input;

/* Run steps; the loss of each, `lanes` numbers of `bytes` bytes, is put behind that of the last. Not 0: it failed. */
Failed stretch(
    Run run, void *program, const Input *inputs, size_t count, size_t steps, char *losses, size_t lanes, size_t bytes)
{
    for (size_t step = 0; step < steps; step++) {
        Tensor given[count], loss;
        for (size_t at = 0; at < count; at++) {
            const Input *one = inputs + at;
            if (aoti_torch_create_tensor_from_blob(
                    one->data + (int64_t)step * one->advance, one->dimensions, one->sizes, one->strides, 0, one->dtype,
                    0, 0, given + at))
                return 1;
        }
        if (run(program, given, count, &loss, 1, NULL, NULL))
            return 2;
        void *data;
        int64_t stride = 1;
        if (aoti_torch_get_data_ptr(loss, &data) || aoti_torch_get_stride(loss, 0, &stride))
            return 3;
        for (size_t lane = 0; lane < lanes; lane++)
            memcpy(losses + (step * lanes + lane) * bytes, (char *)data + lane * (size_t)stride * bytes, bytes);
        aoti_torch_delete_tensor_object(loss);
    }
    return 0;
}
