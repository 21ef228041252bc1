# One target per folder of cpp/. What a folder links is what it may include: the layering of
# cpp/README.md, checked here by the linker and in tests/unit/tidy_test.py by reading the includes.

add_library(pabal_flags INTERFACE)
target_compile_options(pabal_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror=return-type
    -fno-strict-aliasing -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # False alarms of g++ 12 in std::variant and coroutine frames.
    target_compile_options(pabal_flags INTERFACE -Wno-maybe-uninitialized -Wno-missing-field-initializers)
else()
    target_compile_options(pabal_flags INTERFACE -Wno-missing-field-initializers)
endif()
if(PABAL_SHARED)
    # Nobody replaces a function of libpabal.so by another: it may be called directly and inlined.
    # What nobody calls is left out.
    target_compile_options(pabal_flags INTERFACE
        -fno-semantic-interposition -ffunction-sections -fdata-sections)
    if(APPLE)
        target_link_options(pabal_flags INTERFACE -Wl,-dead_strip)
    else()
        target_link_options(pabal_flags INTERFACE -Wl,--gc-sections)
    endif()
endif()
if(PABAL_SANITIZE)
    target_compile_options(pabal_flags INTERFACE
        -fsanitize=address,undefined -fno-sanitize-recover=all)
    target_link_options(pabal_flags INTERFACE -fsanitize=address,undefined)
endif()
if(PABAL_THREAD_SANITIZE)
    target_compile_options(pabal_flags INTERFACE -fsanitize=thread)
    target_link_options(pabal_flags INTERFACE -fsanitize=thread)
endif()

# Where a program or a library is, said in its rpath.
if(APPLE)
    set(PABAL_ORIGIN @loader_path)
else()
    set(PABAL_ORIGIN $ORIGIN)
endif()

# pabal_folder(NAME [LINKS other folders] [USES external targets]): the sources of cpp/NAME.
function(pabal_folder name)
    cmake_parse_arguments(arg "" "" "LINKS;USES" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
    if(sources)
        add_library(pabal_${name} STATIC ${sources})
        set(scope PUBLIC)
    else()
        add_library(pabal_${name} INTERFACE)
        set(scope INTERFACE)
    endif()
    target_include_directories(pabal_${name} ${scope}
        ${CMAKE_SOURCE_DIR}/cpp ${CMAKE_BINARY_DIR}/generated)
    target_link_libraries(pabal_${name} ${scope} pabal_flags)
    foreach(link ${arg_LINKS})
        target_link_libraries(pabal_${name} ${scope} pabal_${link})
    endforeach()
    foreach(use ${arg_USES})
        target_link_libraries(pabal_${name} ${scope} ${use})
    endforeach()
endfunction()

# pabal_unit_tests(NAME [LINKS folders]): every *_test.cc of this folder in one program, unit_NAME.
function(pabal_unit_tests name)
    cmake_parse_arguments(arg "" "" "LINKS" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
    if(NOT sources)
        return()
    endif()
    add_executable(unit_${name} ${sources})
    target_include_directories(unit_${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(unit_${name} PRIVATE pabal_flags GTest::gmock_main)
    foreach(link ${arg_LINKS})
        target_link_libraries(unit_${name} PRIVATE pabal_${link})
    endforeach()
    add_test(NAME unit_${name} COMMAND unit_${name})
    set_tests_properties(unit_${name} PROPERTIES TIMEOUT 300)
endfunction()
