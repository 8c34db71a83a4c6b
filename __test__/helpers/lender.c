// An addon that lends its memory, as addons do that show JavaScript what a library allocated. It never frees any of it, so that
// what happened to it can be seen.
#include <node_api.h>
#include <stdlib.h>
#include <string.h>

enum { LOANS_MAX = 64, PAGE_BYTES = 4096, FILL = 7 };
static struct { unsigned char *start; size_t len; int returns; } loans[LOANS_MAX];
static uint32_t count;

static void returned(napi_env env, void *start, void *hint) {
  (void)env, (void)start;
  loans[(size_t)hint].returns++;
}

static uint32_t argument(napi_env env, napi_callback_info info) {
  napi_value value;
  size_t argc = 1;
  uint32_t number = 0;
  napi_get_cb_info(env, info, &argc, &value, NULL, NULL);
  napi_get_value_uint32(env, value, &number);
  return number;
}

// lend(pages): an ArrayBuffer over so many pages full of sevens. The n-th call makes loan n, from 0 on.
static napi_value lend(napi_env env, napi_callback_info info) {
  napi_value buffer = NULL;
  size_t loan = count++ % LOANS_MAX;
  loans[loan].len = (size_t)argument(env, info) * PAGE_BYTES;
  loans[loan].returns = 0;
  loans[loan].start = aligned_alloc(PAGE_BYTES, loans[loan].len);
  memset(loans[loan].start, FILL, loans[loan].len);
  napi_create_external_arraybuffer(env, loans[loan].start, loans[loan].len, returned, (void *)loan, &buffer);
  return buffer;
}

// changed(loan): how many bytes are no sevens any more.
static napi_value changed(napi_env env, napi_callback_info info) {
  napi_value result;
  uint32_t bytes = 0, loan = argument(env, info);
  for (size_t i = 0; i < loans[loan].len; i++) bytes += loans[loan].start[i] != FILL;
  napi_create_uint32(env, bytes, &result);
  return result;
}

// returns(loan): how often the memory was given back to us.
static napi_value returns(napi_env env, napi_callback_info info) {
  napi_value result;
  napi_create_int32(env, loans[argument(env, info)].returns, &result);
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "lend", NAPI_AUTO_LENGTH, lend, NULL, &function);
  napi_set_named_property(env, exports, "lend", function);
  napi_create_function(env, "changed", NAPI_AUTO_LENGTH, changed, NULL, &function);
  napi_set_named_property(env, exports, "changed", function);
  napi_create_function(env, "returns", NAPI_AUTO_LENGTH, returns, NULL, &function);
  napi_set_named_property(env, exports, "returns", function);
  return exports;
}
