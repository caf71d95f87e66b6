# The layers of wheels. `sam build` runs these in a copy of this folder with ARTIFACTS_DIR, from the
# Makefile of the architecture, which sets MACHINE. PYTHON names the interpreter.
PYTHON ?= python3.13
PACKAGES = $(ARTIFACTS_DIR)/python
# Amazon Linux 2023 has glibc 2.34; pip takes no wheel for an older one unless it is named too.
PLATFORMS := $(foreach minor,$(shell seq 34 -1 17),--platform manylinux_2_$(minor)_$(MACHINE))

build-RuntimeLayer: LOCK := runtime.txt
# The Python binding does not link the shared library, and no session needs the rest. Of Powertools
# the functions use Logger and Metrics, which need jmespath_utils of its utilities.
build-RuntimeLayer: SURPLUS := bin onnxruntime/capi/libonnxruntime.so.* \
	onnxruntime/transformers onnxruntime/quantization onnxruntime/tools onnxruntime/backend \
	onnxruntime/datasets numpy/f2py numpy/_core/include numpy/_core/lib \
	numpy/_core/_simd.* numpy/fft numpy/polynomial numpy/testing aws_lambda_powertools/event_handler \
	aws_lambda_powertools/utilities/[a-ik-z]*
build-ColumnarLayer: LOCK := columnar.txt
# sources, and symbols for a debugger: 14 of the 15 MB of simdjson's binding
build-ColumnarLayer: SURPLUS := simdjson/*.cpp simdjson/*.h simdjson/*.pyx simdjson/*.pxd
build-ColumnarLayer: DEBUGGED := csimdjson*.so
build-SealingLayer: LOCK := sealing.txt
# encryption needs of cffi the backend alone, and no certificates
build-SealingLayer: SURPLUS := bin cffi cryptography/x509
build-CallersLayer: LOCK := callers.txt
build-CallersLayer: SURPLUS := bin cffi

.PHONY: build-RuntimeLayer build-ColumnarLayer build-SealingLayer build-CallersLayer
build-RuntimeLayer build-ColumnarLayer build-SealingLayer build-CallersLayer:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || \
		{ echo "layers are built by the runtime's own Python, 3.13, and $(PYTHON) is not one:" \
			"put python3.13 on PATH" >&2; exit 1; }
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
		--require-hashes --only-binary :all: $(PLATFORMS) --python-version 3.13 \
		--implementation cp --target "$(PACKAGES)" -r $(LOCK)
	cd "$(PACKAGES)" && rm -rf $(SURPLUS) && find . -type d -name tests -prune -exec rm -rf {} + && \
		find . \( -name '*.pyi' -o -name '*.h' -o -name '*.a' \) -delete
	cd "$(PACKAGES)" && $(PYTHON) "$(CURDIR)/strip_debug.py" $(DEBUGGED)
	# /opt is read-only in Lambda: without .pyc every cold start would compile.
	$(PYTHON) -m compileall -q --invalidation-mode unchecked-hash \
		-s "$(ARTIFACTS_DIR)" -p /opt "$(PACKAGES)"
