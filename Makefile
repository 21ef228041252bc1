# make demo   set everything up and run the demonstration
# make test   set everything up and run every test
# make build  set everything up and install pabal into .venv
# make check-all, sanitize, bench, clean: see below
#
# Set-up is done once and again only when something that it depends on changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SOURCES = $(shell find cpp cmake python -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml
TESTS = $(shell find tests benchmarks -name '*.cc' -o -name '*.h' -o -name CMakeLists.txt)

.PHONY: demo test build sanitize check-all bench clean

demo: $(VENV)/.demo $(VENV)/.installed
	$(BIN)/pabal demo

build: $(VENV)/.installed

test: $(VENV)/.test $(VENV)/.installed build/release/.tests
	ctest --test-dir build/release --output-on-failure -j $(JOBS)
	PABAL_BUILD=build/release $(BIN)/python -m pytest $(PYTEST_FLAGS)

# The second compiler, with AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: build/.system-clang $(VENV)/.test
	CC=clang-19 CXX=clang++-19 cmake -S . -B build/sanitize -G Ninja \
	    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" \
	    -DPABAL_SANITIZE=ON -DPython3_EXECUTABLE=$(CURDIR)/$(BIN)/python
	cmake --build build/sanitize -j $(JOBS)
	ctest --test-dir build/sanitize --output-on-failure -j $(JOBS)

# Every other combination: each compiler, with and without sanitizers, and ThreadSanitizer.
check-all: test sanitize
	for compiler in g++ clang++-19; do \
	    for option in PABAL_SANITIZE PABAL_THREAD_SANITIZE; do \
	        CXX=$$compiler cmake -S . -B build/$$compiler-$$option -G Ninja \
	            -DCMAKE_BUILD_TYPE=RelWithDebInfo -D$$option=ON && \
	        cmake --build build/$$compiler-$$option -j $(JOBS) && \
	        ctest --test-dir build/$$compiler-$$option --output-on-failure || exit 1; \
	    done; \
	done

bench: $(VENV)/.test $(VENV)/.installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf build $(VENV)

build/.system:
	sh cmake/system_packages.sh
	mkdir -p build && touch $@

build/.system-clang: build/.system
	sh cmake/system_packages.sh clang-19 libclang-rt-19-dev
	touch $@

# The wheel and the tests are built in one folder, so that nothing is compiled twice; the build's
# own requirements live in the environment, so that the next build finds them where they were.
INSTALL = CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/pip install --no-build-isolation --no-deps \
    --force-reinstall -Cbuild-dir=build/release

$(VENV)/.created: build/.system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "scikit-build-core>=0.10" "pybind11>=2.13"
	touch $@

$(VENV)/.demo: $(VENV)/.created pyproject.toml
	$(BIN)/pip install --quiet $$($(BIN)/python cmake/extras.py demo)
	touch $@

$(VENV)/.test: $(VENV)/.created pyproject.toml
	$(BIN)/pip install --quiet $$($(BIN)/python cmake/extras.py demo test)
	touch $@

$(VENV)/.installed: $(VENV)/.created $(SOURCES)
	$(INSTALL) .
	touch $@

build/release/.tests: $(VENV)/.installed $(TESTS)
	cmake -S . -B build/release -DPABAL_TESTS=ON
	cmake --build build/release -j $(JOBS)
	touch $@
