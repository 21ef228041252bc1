# make demo   set everything up and run the demonstration
# make test   set everything up and run every test
# make build  set everything up and install pabal into .venv
# make wheel  make dist/pabal-*.whl, which needs nothing installed
# make docs   the documents and the API reference as pages, in build/docs
# make check-all, sanitize, bench, clean: see below
#
# Set-up is done once and again only when something that it depends on changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SOURCES = $(shell find cpp cmake python -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml
TESTS = $(shell find tests benchmarks -name '*.cc' -o -name '*.h' -o -name CMakeLists.txt)

CONFIGURE_TESTS = cmake -S . -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" -DPython3_EXECUTABLE=$(CURDIR)/$(BIN)/python

.PHONY: demo test build wheel docs sanitize check-all bench clean

demo: $(VENV)/.demo $(VENV)/.installed
	$(BIN)/pabal demo

build: $(VENV)/.installed

wheel: $(VENV)/.wheel $(VENV)/.installed
	CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/python cmake/wheel.py

test: $(VENV)/.test $(VENV)/.installed build/test/.built
	ctest --test-dir build/test --output-on-failure -j $(JOBS)
	PABAL_BUILD=build/test $(BIN)/python -m pytest $(PYTEST_FLAGS)

docs: $(VENV)/.test $(VENV)/.installed
	$(BIN)/python docs/make/kafka_users.py
	$(BIN)/python docs/make/pages.py

# The second compiler, with AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: build/.system-clang $(VENV)/.test
	CC=clang-19 CXX=clang++-19 $(CONFIGURE_TESTS) -B build/sanitize -DPABAL_SANITIZE=ON
	cmake --build build/sanitize -j $(JOBS)
	ctest --test-dir build/sanitize --output-on-failure -j $(JOBS)

# Every other combination: each compiler, with and without sanitizers, and ThreadSanitizer.
check-all: test sanitize
	for compiler in g++ clang++-19; do \
	    for option in PABAL_SANITIZE PABAL_THREAD_SANITIZE; do \
	        CXX=$$compiler $(CONFIGURE_TESTS) -B build/$$compiler-$$option -D$$option=ON && \
	        cmake --build build/$$compiler-$$option -j $(JOBS) && \
	        ctest --test-dir build/$$compiler-$$option --output-on-failure || exit 1; \
	    done; \
	done

bench: $(VENV)/.test $(VENV)/.installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf build dist $(VENV)

build/.system:
	sh cmake/system_packages.sh
	mkdir -p build && touch $@

build/.system-clang: build/.system
	sh cmake/system_packages.sh clang-19 libclang-rt-19-dev
	touch $@

# The build's own requirements live in the environment, so that the next build finds them where they
# were.
INSTALL = CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/pip install --no-build-isolation --no-deps \
    --force-reinstall -Cbuild-dir=build/release

$(VENV)/.created: build/.system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "scikit-build-core>=0.10" "pybind11>=2.13"
	touch $@

$(VENV)/.demo: $(VENV)/.created pyproject.toml Makefile
	$(BIN)/pip install --quiet $$($(BIN)/python cmake/extras.py demo)
	touch $@

$(VENV)/.test: $(VENV)/.created pyproject.toml Makefile
	$(BIN)/pip install --quiet $$($(BIN)/python cmake/extras.py \
	    avro demo jsonschema plot protobuf test)
	touch $@

$(VENV)/.wheel: $(VENV)/.created pyproject.toml Makefile
	$(BIN)/pip install --quiet $$($(BIN)/python cmake/extras.py wheel)
	touch $@

$(VENV)/.installed: $(VENV)/.created $(SOURCES)
	$(INSTALL) .
	touch $@

# What is installed has none of the marks and broken builds that the simulator needs (PABAL_PROBES),
# so the tests have a build of their own. It is compiled for little time, not for speed.
build/test/.built: $(VENV)/.test $(SOURCES) $(TESTS)
	$(CONFIGURE_TESTS) -B build/test
	cmake --build build/test -j $(JOBS)
	touch $@
